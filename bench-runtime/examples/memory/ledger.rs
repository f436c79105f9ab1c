//! One reading of a process and of its machine.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

/// How long the machine may take to settle; then it is read as it is.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);
const SETTLE_STEP: Duration = Duration::from_millis(50);
/// Readings this near are the same: the kernel's lists of free pages make
/// `MemAvailable` jump by about as much on a quiet machine.
const SETTLE_BYTES: i64 = 256 << 10;

/// What a process and its kernel hold, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ledger {
    resident: i64,
    page_tables: i64,
    slab: i64,
    available: i64,
    /// The most that was resident so far.
    peak: i64,
}

impl Ledger {
    /// Reads, when `MemAvailable` has settled; waits for it by `sleep`.
    pub(super) fn read(sleep: fn(Duration)) -> Result<Self, String> {
        let start = Instant::now();
        let mut last = Self::glance()?;
        let mut same = 1;
        while same < 3 && start.elapsed() < SETTLE_LIMIT {
            sleep(SETTLE_STEP);
            let next = Self::glance()?;
            let moved = (next.available - last.available).abs();
            same = if moved <= SETTLE_BYTES { same + 1 } else { 1 };
            last = next;
        }
        Ok(last)
    }

    pub(super) fn glance() -> Result<Self, String> {
        // Makes the kernel add up its per-CPU counters now; only root may.
        let _ = fs::read("/proc/sys/vm/stat_refresh");
        let read = |path: &str| fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
        let status = read("/proc/self/status")?;
        let machine = read("/proc/meminfo")?;
        let field = |text: &str, name: &str| -> Result<i64, String> {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<i64>().ok());
            Ok(value.ok_or_else(|| format!("/proc has no {name}"))? * 1024)
        };
        Ok(Self {
            resident: field(&status, "VmRSS:")?,
            page_tables: field(&status, "VmPTE:")?,
            slab: field(&machine, "Slab:")?,
            available: field(&machine, "MemAvailable:")?,
            peak: field(&status, "VmHWM:")?,
        })
    }

    /// The most that the process can have held so far: what was resident at
    /// most, and page tables, which hardly shrink.
    pub(super) fn peak(&self) -> i64 {
        self.peak + self.page_tables
    }

    /// What has been added since `before`, as a child answers it.
    pub(super) fn since(&self, before: &Self) -> impl fmt::Display {
        format!(
            "resident={} tables={} slab={} machine={}",
            self.resident - before.resident,
            self.page_tables - before.page_tables,
            self.slab - before.slab,
            before.available - self.available,
        )
    }
}
