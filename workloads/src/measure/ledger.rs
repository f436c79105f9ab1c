//! The memory ledger: the memory of a lane's tasks by parts, and the change of the host's memory
//! and the control group's in the same time.
//!
//! The study takes the readings from outside, so they are the same for every language. The parts
//! are of the lane's own processes, which other programs do not disturb:
//!
//! | part | source |
//! |---|---|
//! | anonymous | `Pss_Anon` + `Pss_Shmem` of `/proc/PID/smaps_rollup`, over the lane and its descendants |
//! | page tables | `VmPTE` of `/proc/PID/status`, plus the top-level page that it leaves out, over the same processes |
//! | kernel stacks | number of threads of these processes × bytes of a kernel stack |
//! | slab, per-CPU | growth of the host's slab and per-CPU memory, up to what the lane's own new threads, processes, mappings and files can cause |
//!
//! The accounts of the host, and of the control group if it may be read, show whether a part is
//! missing.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use bench_runtime::__host::Cgroup;
use nix::unistd::{SysconfVar, sysconf};

use crate::host::children::descendants;
use crate::host::proc_file::ProcFile;

/// The longest wait for the host's memory to settle. The reading is then taken all the same.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);
const SETTLE_STEP: Duration = Duration::from_millis(25);
/// Readings that differ by less are the same: the free memory of a quiet host varies so much.
const SETTLE_BYTES: i64 = 256 << 10;

/// The most slab that the kernel takes for one thread, process, mapping or file, roughly.
const THREAD_SLAB: i64 = 16 << 10;
const PROCESS_SLAB: i64 = 128 << 10;
const MAPPING_SLAB: i64 = 1 << 10;
const FILE_SLAB: i64 = 4 << 10;
/// The most per-CPU memory that a process takes on one CPU.
const PROCESS_PERCPU: i64 = 256;

/// The memory of `tasks_count` tasks: the second reading minus the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Tasks alive at the second reading.
    pub tasks_count: u64,
    /// Decrease of the host's `MemAvailable` plus the free pages in its per-CPU lists.
    pub available_bytes: i64,
    /// Growth of the account of the lane's control group, without files in the page cache; `None`
    /// if it may not be read.
    pub group_bytes: Option<i64>,
    /// Growth of the resident anonymous pages of the lane and its descendants.
    pub anonymous_bytes: i64,
    /// Growth of their kernel stacks.
    pub kernel_stack_bytes: i64,
    /// Growth of the host's slab for their kernel objects.
    pub slab_bytes: i64,
    /// Growth of their page tables.
    pub page_tables_bytes: i64,
    /// Growth of the host's per-CPU area for the lane and its descendants.
    pub percpu_bytes: i64,
    /// Growth of the lane's address space, which by itself costs no memory.
    pub virtual_bytes: i64,
}

impl Memory {
    /// The sum of the parts.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.anonymous_bytes
            + self.kernel_stack_bytes
            + self.slab_bytes
            + self.page_tables_bytes
            + self.percpu_bytes
    }
}

/// The readings of one sample.
#[derive(Debug, Default)]
pub struct Readings(Vec<Reading>);

impl Readings {
    /// Reads the process `pid` and its descendants. Blocks the thread, at most half a second until
    /// the host has settled, and then for the reading.
    ///
    /// # Errors
    ///
    /// If `/proc` cannot be read.
    pub fn take(&mut self, pid: u32) -> io::Result<()> {
        self.0.push(Reading::take(pid)?);
        Ok(())
    }

    /// How many readings were taken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The change from the first reading to the second; `None` unless there are exactly two.
    #[must_use]
    pub fn change(&self, tasks_count: u64) -> Option<Memory> {
        match &self.0[..] {
            [before, after] => Some(before.change_to(after, tasks_count)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    available: i64,
    group: Option<i64>,
    slab: i64,
    percpu: i64,
    own: LaneMemory,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LaneMemory {
    pub(super) anonymous: i64,
    pub(super) page_tables: i64,
    pub(super) kernel_stack: i64,
    virtual_size: i64,
    pub(super) threads: i64,
    processes: i64,
    mappings: i64,
    files: i64,
}

impl Reading {
    fn take(pid: u32) -> io::Result<Self> {
        let (host, available) = settle()?;
        // The host is read first, because reading a thousand processes uses slab.
        let group = Group::of(pid).and_then(|group| group.bytes());
        Ok(Self {
            available,
            group,
            // Reclaimable slab is left out: most of it is names of files, of any process.
            slab: host.bytes("SUnreclaim"),
            percpu: host.bytes("Percpu"),
            own: LaneMemory::of(pid, kernel_stack(&host)?)?,
        })
    }

    fn change_to(&self, later: &Self, tasks_count: u64) -> Memory {
        let growth = |of: fn(&LaneMemory) -> i64| of(&later.own) - of(&self.own);
        let processes = growth(|own| own.processes);
        let most_slab = growth(|own| own.threads).max(0) * THREAD_SLAB
            + processes.max(0) * PROCESS_SLAB
            + growth(|own| own.mappings).max(0) * MAPPING_SLAB
            + growth(|own| own.files).max(0) * FILE_SLAB;
        let most_percpu = processes.max(0) * PROCESS_PERCPU * cpus();
        Memory {
            tasks_count,
            available_bytes: self.available - later.available,
            group_bytes: self.group.zip(later.group).map(|(one, two)| two - one),
            anonymous_bytes: growth(|own| own.anonymous),
            kernel_stack_bytes: growth(|own| own.kernel_stack),
            slab_bytes: (later.slab - self.slab).clamp(0, most_slab),
            page_tables_bytes: growth(|own| own.page_tables),
            percpu_bytes: (later.percpu - self.percpu).clamp(0, most_percpu),
            virtual_bytes: growth(|own| own.virtual_size),
        }
    }
}

impl LaneMemory {
    /// The sum over `pid` and its descendants; address space, mappings and files are of `pid`
    /// alone. A descendant that ends meanwhile counts as zero.
    fn of(pid: u32, kernel_stack: i64) -> io::Result<Self> {
        let mut own = Self::default();
        own.add(pid, kernel_stack)?;
        own.virtual_size = ProcFile::read(&format!("/proc/{pid}/status"))?.bytes("VmSize");
        own.mappings = count_lines(&format!("/proc/{pid}/maps"))?;
        own.files = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as i64;
        for pid in descendants(pid) {
            match own.add(pid, kernel_stack) {
                Err(error) if !has_ended(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(own)
    }

    pub(super) fn add(&mut self, pid: u32, kernel_stack: i64) -> io::Result<()> {
        let rollup = ProcFile::read(&format!("/proc/{pid}/smaps_rollup"))?;
        let status = ProcFile::read(&format!("/proc/{pid}/status"))?;
        let threads = status.number("Threads");
        self.anonymous += rollup.bytes("Pss_Anon") + rollup.bytes("Pss_Shmem");
        self.page_tables += status.bytes("VmPTE") + page();
        self.kernel_stack += threads * kernel_stack;
        self.threads += threads;
        self.processes += 1;
        Ok(())
    }
}

pub(super) fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

fn count_lines(path: &str) -> io::Result<i64> {
    let mut file = BufReader::with_capacity(1 << 16, fs::File::open(path)?);
    let mut count = 0;
    while file.skip_until(b'\n')? > 0 {
        count += 1;
    }
    Ok(count)
}

/// The bytes of a kernel stack: the power of two nearest to the host's average.
pub(super) fn kernel_stack(host: &ProcFile) -> io::Result<i64> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let tasks = tasks_of(&load).unwrap_or(1).max(1);
    let average = (host.bytes("KernelStack") / tasks).max(1) as f64;
    Ok(1 << average.log2().round() as u32)
}

fn tasks_of(load: &str) -> Option<i64> {
    let (_, tasks) = load.split_whitespace().nth(3)?.split_once('/')?;
    tasks.parse().ok()
}

/// Waits until three readings agree, at most [`SETTLE_LIMIT`]. Returns `/proc/meminfo`, and the
/// available memory in bytes.
fn settle() -> io::Result<(ProcFile, i64)> {
    let start = Instant::now();
    let mut agreeing = 1;
    let mut last = read_host()?;
    while agreeing < 3 && start.elapsed() < SETTLE_LIMIT {
        thread::sleep(SETTLE_STEP);
        let next = read_host()?;
        let difference = (next.1 - last.1).abs();
        agreeing = if difference <= SETTLE_BYTES {
            agreeing + 1
        } else {
            1
        };
        last = next;
    }
    Ok(last)
}

fn read_host() -> io::Result<(ProcFile, i64)> {
    // The kernel adds up its per-CPU counters at this read, not only once a second. The read fails
    // for other users than root.
    let _ = fs::read("/proc/sys/vm/stat_refresh");
    let meminfo = ProcFile::read("/proc/meminfo")?;
    let zones = fs::read_to_string("/proc/zoneinfo").unwrap_or_default();
    let available = meminfo.bytes("MemAvailable") + pages_in_lists(&zones) * page();
    Ok((meminfo, available))
}

/// Free pages in the per-CPU lists, up to an eighth of memory. `MemAvailable` leaves them out.
fn pages_in_lists(zones: &str) -> i64 {
    let count = |line: &str| -> Option<i64> {
        let number = line.trim_start().strip_prefix("count:")?;
        number.trim().parse().ok()
    };
    zones.lines().filter_map(count).sum()
}

fn page() -> i64 {
    sysconf_value(SysconfVar::PAGE_SIZE).unwrap_or(4096)
}

fn cpus() -> i64 {
    sysconf_value(SysconfVar::_NPROCESSORS_CONF).unwrap_or(1)
}

fn sysconf_value(name: SysconfVar) -> Option<i64> {
    sysconf(name).ok().flatten()
}

#[derive(Debug, PartialEq, Eq)]
struct Group {
    folder: PathBuf,
    files: &'static Files,
}

/// The names in a version of control groups. The `total_` fields of version 1 include descendants,
/// as all fields of version 2 do.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    usage: &'static str,
    cache: &'static str,
    shared: &'static str,
}

const VERSION_1: Files = Files {
    usage: "memory.usage_in_bytes",
    cache: "total_cache",
    shared: "total_shmem",
};
const VERSION_2: Files = Files {
    usage: "memory.current",
    cache: "file",
    shared: "shmem",
};

impl Group {
    fn of(pid: u32) -> Option<Self> {
        let groups = Cgroup::of_process(pid);
        let (version, folder) = groups.folder("memory")?;
        Some(Self {
            folder: folder.to_owned(),
            files: if version == 1 { &VERSION_1 } else { &VERSION_2 },
        })
    }

    fn bytes(&self) -> Option<i64> {
        let text = |name: &str| fs::read_to_string(self.folder.join(name)).ok();
        let usage: i64 = text(self.files.usage)?.trim().parse().ok()?;
        Some(usage - self.cached(&text("memory.stat")?))
    }

    fn cached(&self, stat: &str) -> i64 {
        let value = |name: &str| {
            let line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
            stat.lines().find_map(line).unwrap_or(0_i64)
        };
        value(self.files.cache) - value(self.files.shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded on Linux 6.18 with two CPUs, shortened.
    const ZONEINFO: &str = "\
Node 0, zone   Normal
  pages free     5391029
        boost    0
        min      16270
        present  5898240
      nr_free_pages 5391029
  pagesets
    cpu: 0
              count:    4821
              high:     5071
              batch:    63
              high_min: 5071
  vm stats threshold: 54
    cpu: 1
              count:    119
              high:     5071
  vm stats threshold: 54
  node_unreclaimable:  0
Node 0, zone  Movable
  pages free     0
        protection: (0, 0, 0, 0)
";

    #[test]
    fn pages_in_the_lists_of_all_cpus_are_added_up() {
        assert_eq!(pages_in_lists(ZONEINFO), 4821 + 119);
        assert_eq!(pages_in_lists(""), 0);
    }

    #[test]
    fn tasks_of_the_host_are_the_number_after_the_slash() {
        assert_eq!(tasks_of("1.43 0.85 0.39 4/114 11149\n"), Some(114));
        assert_eq!(tasks_of("1.43"), None);
    }

    #[test]
    fn files_in_the_page_cache_are_read_by_each_versions_names() {
        let cached = |files, stat: &str| {
            let folder = PathBuf::new();
            Group { folder, files }.cached(stat)
        };
        let first = "cache 1\nshmem 2\nrss 3\ntotal_cache 500\ntotal_rss 7\ntotal_shmem 100\n";
        assert_eq!(cached(&VERSION_1, first), 400);
        let second = "anon 9000\nfile 4096\nkernel 77\nshmem 1024\nfile_mapped 3\n";
        assert_eq!(cached(&VERSION_2, second), 3072);
    }

    #[test]
    fn slab_of_other_programs_is_not_charged_to_a_lane_without_kernel_objects() {
        let before = Reading::default();
        let after = Reading {
            slab: 5 << 20,
            percpu: 1 << 20,
            own: LaneMemory {
                anonymous: 456_000,
                mappings: 2,
                ..LaneMemory::default()
            },
            ..before
        };
        let change = before.change_to(&after, 1_000);
        assert_eq!((change.slab_bytes, change.percpu_bytes), (2 << 10, 0));
        assert_eq!(change.sum(), 456_000 + (2 << 10));
    }

    #[test]
    fn slab_of_threads_is_the_hosts_growth() {
        let before = Reading::default();
        let after = Reading {
            slab: 8_000_000,
            own: LaneMemory {
                threads: 1_000,
                mappings: 4_000,
                ..LaneMemory::default()
            },
            ..before
        };
        assert_eq!(before.change_to(&after, 1_000).slab_bytes, 8_000_000);
    }

    #[test]
    fn touched_memory_and_threads_are_counted_and_untouched_is_only_virtual() {
        let own = std::process::id();
        let mut readings = Readings::default();
        readings.take(own).unwrap();
        let touched = vec![1_u8; 32 << 20];
        let untouched: Vec<u8> = Vec::with_capacity(256 << 20);
        let gate = std::sync::Arc::new(std::sync::Barrier::new(101));
        let threads: Vec<_> = (0..100)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || (gate.wait(), gate.wait()))
            })
            .collect();
        gate.wait();
        readings.take(own).unwrap();
        gate.wait();
        for thread in threads {
            thread.join().unwrap();
        }
        std::hint::black_box((&touched, &untouched));
        let change = readings.change(1).unwrap();
        let touched = 32 << 20..40 << 20;
        assert!(touched.contains(&change.anonymous_bytes), "{change:?}");
        // Other tests start and end threads meanwhile.
        let stacks = change.kernel_stack_bytes;
        assert!(
            ((80 * 8) << 10..=(130 * 64) << 10).contains(&stacks),
            "{change:?}"
        );
        assert!(change.page_tables_bytes >= 64 << 10, "{change:?}");
        assert!(change.virtual_bytes >= 288 << 20, "{change:?}");
    }

    #[test]
    fn one_reading_is_no_change() {
        assert_eq!(Readings::default().change(1), None);
    }
}
