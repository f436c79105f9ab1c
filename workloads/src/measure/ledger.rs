//! Memory as a ledger that closes: what the host has lost, and where it went.

use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::host::proc_file::ProcFile;
use crate::protocol::Memory;

/// How long the host may take to settle; after that a reading is taken as it is.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);
const SETTLE_STEP: Duration = Duration::from_millis(50);
/// Two readings this near are the same: the kernel's own lists of free pages
/// make `MemAvailable` jump by about this much on a quiet host.
const SETTLE_BYTES: i64 = 256 << 10;

/// One reading of the host and of the lane's processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger {
    available: i64,
    anonymous: i64,
    kernel_stack: i64,
    slab: i64,
    page_tables: i64,
    percpu: i64,
    virtual_size: i64,
}

impl Ledger {
    /// Waits until the host has settled and reads. `with_children`: the lane's
    /// tasks are processes, so add up over its descendants.
    ///
    /// Blocks the thread.
    pub(crate) fn read(with_children: bool) -> io::Result<Self> {
        let host = settle()?;
        // The host first: to look into a thousand processes costs slab.
        let mut anonymous = resident("self")?;
        if with_children {
            let mut found = Vec::new();
            descendants(std::process::id(), &mut found);
            for pid in found {
                anonymous += resident(&pid.to_string())?;
            }
        }
        Ok(Self {
            available: host.bytes("MemAvailable"),
            anonymous,
            kernel_stack: host.bytes("KernelStack"),
            slab: host.bytes("Slab"),
            page_tables: host.bytes("PageTables") + host.bytes("SecPageTables"),
            percpu: host.bytes("Percpu"),
            virtual_size: ProcFile::read("/proc/self/status")?.bytes("VmSize"),
        })
    }

    /// The change from this reading to a later one.
    pub(crate) fn until(&self, later: &Self, tasks: u64) -> Memory {
        Memory {
            tasks_count: tasks,
            available_bytes: self.available - later.available,
            anonymous_bytes: later.anonymous - self.anonymous,
            kernel_stack_bytes: later.kernel_stack - self.kernel_stack,
            slab_bytes: later.slab - self.slab,
            page_tables_bytes: later.page_tables - self.page_tables,
            percpu_bytes: later.percpu - self.percpu,
            virtual_bytes: later.virtual_size - self.virtual_size,
        }
    }
}

/// Resident pages that are no file's, shared ones by their share.
fn resident(process: &str) -> io::Result<i64> {
    let rollup = ProcFile::read(&format!("/proc/{process}/smaps_rollup"))?;
    Ok(rollup.bytes("Pss_Anon") + rollup.bytes("Pss_Shmem"))
}

/// Adds the processes below `pid`. One that ends meanwhile is left out.
fn descendants(pid: u32, found: &mut Vec<u32>) {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return;
    };
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
        {
            found.push(child);
            descendants(child, found);
        }
    }
}

/// Reads `/proc/meminfo` until three readings in a row agree.
fn settle() -> io::Result<ProcFile> {
    let start = Instant::now();
    let mut same = 1;
    let mut last = read_meminfo()?;
    while same < 3 && start.elapsed() < SETTLE_LIMIT {
        thread::sleep(SETTLE_STEP);
        let next = read_meminfo()?;
        let moved = (next.bytes("MemAvailable") - last.bytes("MemAvailable")).abs();
        same = if moved <= SETTLE_BYTES { same + 1 } else { 1 };
        last = next;
    }
    Ok(last)
}

fn read_meminfo() -> io::Result<ProcFile> {
    // Makes the kernel add up its per-CPU counters now instead of once a
    // second. Only root may; others read figures that are a little older.
    let _ = fs::read("/proc/sys/vm/stat_refresh");
    ProcFile::read("/proc/meminfo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_memory_is_anonymous_and_untouched_is_only_virtual() {
        let before = Ledger::read(false).unwrap();
        let touched = vec![1_u8; 32 << 20];
        let untouched: Vec<u8> = Vec::with_capacity(256 << 20);
        let after = Ledger::read(false).unwrap();
        let change = before.until(&after, 1);
        std::hint::black_box((&touched, &untouched));
        assert!(
            (32 << 20..40 << 20).contains(&change.anonymous_bytes),
            "{change:?}"
        );
        assert!(change.virtual_bytes >= 288 << 20, "{change:?}");
    }
}
