//! The memory ledger: the cost of a task is the sum of its parts. The accounts of the host and of
//! the control group check that no part is missing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bootstrap::{Estimate, Interval, seed_for};
use super::quantile::median;
use super::regression::line;
use crate::schema::Memory;

/// A part of a task's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Resident anonymous pages: user stacks, heap.
    Anonymous,
    /// Kernel stacks.
    KernelStack,
    /// Slab: task_struct, VMAs, files.
    Slab,
    /// Page tables.
    PageTables,
    /// The per-CPU area.
    PerCpu,
}

impl Part {
    /// All parts, in the order in which they are drawn.
    pub const ALL: [Part; 5] = [
        Part::Anonymous,
        Part::KernelStack,
        Part::Slab,
        Part::PageTables,
        Part::PerCpu,
    ];

    /// The name in the report.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Part::Anonymous => "user pages",
            Part::KernelStack => "kernel stack",
            Part::Slab => "slab",
            Part::PageTables => "page tables",
            Part::PerCpu => "per-CPU area",
        }
    }

    fn of(self, memory: &Memory) -> i64 {
        match self {
            Part::Anonymous => memory.anonymous_bytes,
            Part::KernelStack => memory.kernel_stack_bytes,
            Part::Slab => memory.slab_bytes,
            Part::PageTables => memory.page_tables_bytes,
            Part::PerCpu => memory.percpu_bytes,
        }
    }
}

/// Bytes per task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ledger {
    /// The parts, in the order of [`Part::ALL`].
    pub parts: Vec<(Part, Estimate)>,
    /// The sum of the parts: the cost of a task.
    pub sum: Estimate,
    /// The cost by the host's `MemAvailable` and the free pages in its per-CPU lists.
    pub host: Check,
    /// The cost by the lane's memory control group; `None` if it cannot be read.
    pub group: Option<Check>,
    /// Growth of the address space, which costs no memory by itself.
    pub virtual_bytes: f64,
    /// The number of different task counts. With one count, the figures are quotients that include
    /// the lane's fixed cost.
    pub distinct_count: usize,
    /// The largest task count.
    pub largest_count: u64,
}

/// An independent account of a task's memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The cost of a task by this account.
    pub estimate: Estimate,
    /// The sum of the parts ÷ this account; `None` if the account is too coarse, or if other
    /// programs used memory at the same time.
    pub closure_ratio: Option<f64>,
}

/// A smaller total cannot be checked, because the free memory of a quiet host varies by 0.5 MB.
const LEAST_BYTES: f64 = (16 << 20) as f64;
/// A check is too coarse if half the width of its interval is more than this share of its estimate.
const WIDEST: f64 = 0.1;

impl Check {
    fn new(estimate: Estimate, sum: f64, largest_count: u64) -> Check {
        let is_narrow = |interval: Interval| {
            (interval.high - interval.low) / 2.0 <= WIDEST * estimate.value.abs()
        };
        let is_usable = sum * largest_count as f64 >= LEAST_BYTES
            && estimate.value > 0.0
            && estimate.interval.is_none_or(is_narrow);
        Check {
            estimate,
            closure_ratio: is_usable.then(|| sum / estimate.value),
        }
    }
}

impl Ledger {
    /// The control group's account, which contains no other programs. If it cannot check the
    /// parts, the host's.
    #[must_use]
    pub fn check(&self) -> &Check {
        let group = self.group.as_ref();
        group
            .filter(|group| group.closure_ratio.is_some())
            .unwrap_or(&self.host)
    }
}

/// The ledger of a lane from its readings at several task counts, each with its process's index;
/// `None` without tasks.
#[must_use]
pub fn ledger(readings: &[(u64, Memory)], seed: u64) -> Option<Ledger> {
    let readings: Vec<&(u64, Memory)> = readings
        .iter()
        .filter(|(_, reading)| reading.tasks_count > 0)
        .collect();
    let figure = |of: &dyn Fn(&Memory) -> i64, name: &str| {
        let points = process_medians(
            readings
                .iter()
                .map(|(process, reading)| (*process, reading.tasks_count, of(reading) as f64)),
        );
        if let Some(line) = line(&points, seed_for(seed, name)) {
            return Some((line.slope, line.distinct_count));
        }
        let quotients: Vec<f64> = points.iter().map(|(tasks, bytes)| bytes / tasks).collect();
        let interval = (quotients.len() > 1).then(|| Interval {
            low: quotients.iter().copied().fold(f64::INFINITY, f64::min),
            high: quotients.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        });
        Some((
            Estimate {
                value: median(&quotients)?,
                interval,
            },
            1,
        ))
    };
    let (sum, distinct_count) = figure(&Memory::sum_bytes, "sum")?;
    let largest_count = readings
        .iter()
        .map(|(_, reading)| reading.tasks_count)
        .max()?;
    let check = |of: &dyn Fn(&Memory) -> i64, name: &str| {
        let (estimate, _) = figure(of, name)?;
        Some(Check::new(estimate, sum.value, largest_count))
    };
    let has_group = readings
        .iter()
        .all(|(_, reading)| reading.group_bytes.is_some());
    let group = |memory: &Memory| memory.group_bytes.unwrap_or(0);
    Some(Ledger {
        parts: Part::ALL
            .into_iter()
            .filter_map(|part| Some((part, figure(&|memory| part.of(memory), part.title())?.0)))
            .collect(),
        sum,
        host: check(&|memory| memory.available_bytes, "available")?,
        group: if has_group {
            check(&group, "group")
        } else {
            None
        },
        virtual_bytes: figure(&|memory| memory.virtual_bytes, "virtual")?.0.value,
        distinct_count,
        largest_count,
    })
}

/// `(tasks, bytes)` for each process and task count: the median of the process's readings.
#[must_use]
pub fn process_medians(readings: impl Iterator<Item = (u64, u64, f64)>) -> Vec<(f64, f64)> {
    let mut by_process: BTreeMap<(u64, u64), Vec<f64>> = BTreeMap::new();
    for (process, tasks, bytes) in readings {
        by_process.entry((tasks, process)).or_default().push(bytes);
    }
    by_process
        .into_iter()
        .filter_map(|((tasks, _), bytes)| Some((tasks as f64, median(&bytes)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(tasks: u64) -> (u64, Memory) {
        let tasks_bytes = i64::try_from(tasks).expect("small");
        let memory = Memory {
            tasks_count: tasks,
            // A fixed cost of 5 MB, which belongs to no task.
            available_bytes: 38_000 * tasks_bytes + 5_000_000,
            group_bytes: None,
            anonymous_bytes: 9_756 * tasks_bytes + 4_000_000,
            kernel_stack_bytes: 16_384 * tasks_bytes,
            slab_bytes: 7_900 * tasks_bytes,
            page_tables_bytes: 4_100 * tasks_bytes,
            percpu_bytes: 0,
            virtual_bytes: 2_101_248 * tasks_bytes,
        };
        (0, memory)
    }

    #[test]
    fn ledger_of_many_counts_leaves_the_fixed_cost_out() {
        let readings = [200, 400, 600, 800, 1000].map(reading);
        let ledger = ledger(&readings, 1).expect("readings");
        assert!((ledger.sum.value - 38_140.0).abs() < 1e-6);
        assert!((ledger.parts[0].1.value - 9_756.0).abs() < 1e-6);
        let closure = ledger.host.closure_ratio.expect("38 MB");
        assert!((closure - 38_140.0 / 38_000.0).abs() < 1e-9);
        assert_eq!(ledger.group, None);
        assert_eq!((ledger.distinct_count, ledger.largest_count), (5, 1000));
    }

    #[test]
    fn ledger_of_one_count_is_a_quotient_and_says_so() {
        let ledger = ledger(&[reading(1000)], 1).expect("a reading");
        assert!((ledger.sum.value - 42_140.0).abs() < 1e-6);
        assert_eq!((ledger.distinct_count, ledger.sum.interval), (1, None));
    }

    #[test]
    fn processes_of_one_count_make_an_interval() {
        let mut second = (1, reading(1000).1);
        second.1.anonymous_bytes += 20_000;
        let ledger = ledger(&[reading(1000), second], 1).expect("two readings");
        let interval = ledger.sum.interval.expect("two processes");
        assert_eq!((interval.low, interval.high), (42_140.0, 42_160.0));
    }

    #[test]
    fn no_readings_have_no_ledger() {
        assert_eq!(ledger(&[], 1), None);
        assert_eq!(ledger(&[(0, Memory::default())], 1), None);
    }

    #[test]
    fn coarse_or_disturbed_account_checks_nothing() {
        let small_total = ledger(&[reading(100)], 1).expect("a reading");
        assert_eq!(small_total.host.closure_ratio, None, "4 MB and 8 MB");
        let mut readings = [200, 400, 600, 800, 1000].map(reading);
        readings[1].1.available_bytes += 30 << 20;
        readings[3].1.available_bytes -= 30 << 20;
        let disturbed = ledger(&readings, 1).expect("readings");
        assert_eq!(disturbed.host.closure_ratio, None, "{:?}", disturbed.host);
        assert!((disturbed.sum.value - 38_140.0).abs() < 1e-6);
    }

    #[test]
    fn readable_control_group_is_the_preferred_check() {
        let with_group = |tasks| {
            let (process, mut memory) = reading(tasks);
            memory.group_bytes = Some(38_100 * i64::try_from(tasks).expect("small"));
            (process, memory)
        };
        let ledger = ledger(&[500, 1000, 2000].map(with_group), 1).expect("readings");
        let closure = ledger.check().closure_ratio.expect("76 MB");
        assert!((closure - 38_140.0 / 38_100.0).abs() < 1e-9);
    }
}
