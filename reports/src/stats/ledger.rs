//! The memory ledger: what one task costs, part by part, and how much of it
//! the parts explain.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bootstrap::{Estimate, seed_for};
use super::quantile::median;
use super::regression::line;
use crate::schema::Memory;

/// What a ledger's bytes are for.
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

    /// What a reader calls it.
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

/// Bytes for each task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ledger {
    /// Each part, in the order of [`Part::ALL`].
    pub parts: Vec<(Part, Estimate)>,
    /// The fall of `MemAvailable`: what a task really costs the host.
    pub available: Estimate,
    /// Growth of the address space, which is no cost.
    pub virtual_bytes: f64,
    /// The sum of the parts over the fall of `MemAvailable`; `None` where
    /// `MemAvailable` did not fall.
    pub closure_ratio: Option<f64>,
    /// How many different task counts there were; with one, the figures are
    /// quotients and hold the lane's fixed cost too.
    pub distinct_count: usize,
    /// The largest task count.
    pub largest_count: u64,
}

impl Ledger {
    /// The sum of all parts.
    #[must_use]
    pub fn explained_bytes(&self) -> f64 {
        self.parts.iter().map(|(_, estimate)| estimate.value).sum()
    }

    /// What the parts leave unexplained; negative where they explain too much.
    #[must_use]
    pub fn left_over_bytes(&self) -> f64 {
        self.available.value - self.explained_bytes()
    }
}

/// The ledger of one lane from its readings at several task counts, each with
/// the process that it is of; `None` for no readings with tasks.
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
        Some((
            Estimate {
                value: median(&quotients)?,
                interval: None,
            },
            1,
        ))
    };
    let (available, distinct_count) = figure(&|memory| memory.available_bytes, "available")?;
    let (space, _) = figure(&|memory| memory.virtual_bytes, "virtual")?;
    let parts: Vec<(Part, Estimate)> = Part::ALL
        .into_iter()
        .filter_map(|part| Some((part, figure(&|memory| part.of(memory), part.title())?.0)))
        .collect();
    let explained: f64 = parts.iter().map(|(_, estimate)| estimate.value).sum();
    Some(Ledger {
        parts,
        available,
        virtual_bytes: space.value,
        closure_ratio: (available.value > 0.0).then(|| explained / available.value),
        distinct_count,
        largest_count: readings
            .iter()
            .map(|(_, reading)| reading.tasks_count)
            .max()?,
    })
}

/// `(tasks, bytes)` for each process and task count: the median of what that
/// process read, since the process is the unit that counts.
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
            // A fixed cost of 5 MB that is no task's.
            available_bytes: 38_000 * tasks_bytes + 5_000_000,
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
    fn ledger_over_many_counts_leaves_the_fixed_cost_out() {
        let readings = [200, 400, 600, 800, 1000].map(reading);
        let ledger = ledger(&readings, 1).expect("readings");
        assert!((ledger.available.value - 38_000.0).abs() < 1e-6);
        assert!((ledger.parts[0].1.value - 9_756.0).abs() < 1e-6);
        let closure = ledger.closure_ratio.expect("it fell");
        assert!((closure - 38_140.0 / 38_000.0).abs() < 1e-9);
        assert_eq!((ledger.distinct_count, ledger.largest_count), (5, 1000));
    }

    #[test]
    fn ledger_of_one_count_is_a_quotient_and_says_so() {
        let ledger = ledger(&[reading(1000)], 1).expect("a reading");
        assert!((ledger.available.value - 43_000.0).abs() < 1e-6);
        assert_eq!(ledger.distinct_count, 1);
    }

    #[test]
    fn no_readings_have_no_ledger() {
        assert_eq!(ledger(&[], 1), None);
        assert_eq!(ledger(&[(0, Memory::default())], 1), None);
    }

    #[test]
    fn memory_that_did_not_fall_has_no_closure() {
        let mut reading = reading(100);
        reading.1.available_bytes = -5;
        assert_eq!(
            ledger(&[reading], 1).expect("a reading").closure_ratio,
            None
        );
    }
}
