//! The taints of a run by kind, with the frequency and the worst reading.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::run::Run;
use crate::schema::{Taint, taint_meaning, taint_title};

/// All taints of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tainted {
    /// The kind, in words.
    pub title: String,
    /// The meaning for the figures.
    pub meaning: &'static str,
    /// The affected blocks; 0 if the whole run was affected.
    pub blocks_count: usize,
    /// All blocks of the run.
    pub run_blocks_count: usize,
    /// The worst reading, and what to do.
    pub message: String,
}

impl Tainted {
    /// How often, in words.
    #[must_use]
    pub fn when(&self) -> String {
        match (self.blocks_count, self.run_blocks_count) {
            (0, _) => "all along".to_owned(),
            (count, 1) => format!("in {count} of 1 block"),
            (count, all) => format!("in {count} of {all} blocks"),
        }
    }

    /// The share of affected blocks; `None` for the whole run.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let share = self.blocks_count as f64 / self.run_blocks_count.max(1) as f64;
        (self.blocks_count > 0).then_some(share)
    }
}

/// The taints of each kind: a build without optimisation first, then the most frequent.
#[must_use]
pub fn by_kind(run: &Run) -> Vec<Tainted> {
    let mut kinds: BTreeMap<&str, Vec<&Taint>> = BTreeMap::new();
    let unoptimised = unoptimised(run);
    for taint in run.taints.iter().chain(&unoptimised) {
        kinds.entry(&taint.kind).or_default().push(taint);
    }
    let mut found: Vec<Tainted> = kinds
        .into_iter()
        .filter_map(|(kind, taints)| {
            let blocks: BTreeSet<u64> = taints.iter().filter_map(|one| one.block_index).collect();
            let worst = taints
                .iter()
                .max_by(|a, b| excess(a).total_cmp(&excess(b)))?;
            Some(Tainted {
                title: taint_title(kind),
                meaning: taint_meaning(kind),
                blocks_count: blocks.len(),
                // A run that was cut short has no mark for its last block.
                run_blocks_count: run.blocks.len().max(blocks.len()),
                message: worst.message.clone(),
            })
        })
        .collect();
    let title = taint_title(DEBUG_BUILD);
    found.sort_by_key(|one| (one.title != title, std::cmp::Reverse(one.blocks_count)));
    found
}

/// The taint of a build without optimisation.
const DEBUG_BUILD: &str = "debug_build";

/// True if lanes, or the program that measured them, were built without optimisation.
pub(crate) fn is_unoptimised(run: &Run) -> bool {
    run.taints.iter().any(|taint| taint.kind == DEBUG_BUILD) || unoptimised(run).is_some()
}

fn unoptimised(run: &Run) -> Option<Taint> {
    let facts = &run.header.environment;
    let says = |name: &str, text: &str| facts.get(name).is_some_and(|value| value == text);
    let has_taint = run.taints.iter().any(|taint| taint.kind == DEBUG_BUILD);
    (!has_taint && (says("opt_level", "0") || says("profile", "debug"))).then(|| Taint {
        kind: DEBUG_BUILD.to_owned(),
        message: "threadbare was built without optimisation; use --release".to_owned(),
        ..Taint::default()
    })
}

/// How far a reading is beyond its bound. For some kinds the smallest value is the worst, such as a
/// falling clock.
fn excess(taint: &Taint) -> f64 {
    match (taint.value, taint.bound) {
        (Some(value), bound) => (value - bound.unwrap_or(0.0)).abs(),
        (None, _) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(kind: &str, value: f64, bound: f64, block_index: Option<u64>) -> Taint {
        Taint {
            kind: kind.to_owned(),
            message: format!("{kind} {value}"),
            value: Some(value),
            bound: Some(bound),
            block_index,
            ..Taint::default()
        }
    }

    fn by_kind_of(taints: Vec<Taint>) -> Vec<Tainted> {
        by_kind(&Run {
            taints,
            ..Run::default()
        })
    }

    #[test]
    fn taints_are_grouped_by_kind_with_the_worst_reading_and_sorted_by_frequency() {
        let found = by_kind_of(vec![
            taint("others", 0.1, 0.05, None),
            taint("steal", 0.02, 0.01, Some(3)),
            taint("steal", 0.09, 0.01, Some(5)),
            // Two lanes in one block count as one block.
            taint("steal", 0.03, 0.01, Some(5)),
        ]);
        assert_eq!((found.len(), found[0].blocks_count), (2, 2));
        assert_eq!(found[0].message, "steal 0.09");
        assert_eq!(
            (found[1].blocks_count, found[1].title.as_str()),
            (0, "Other programs at work")
        );
    }

    #[test]
    fn build_without_optimisation_is_found_by_taint_or_facts_and_listed_first() {
        let mut run = Run {
            taints: vec![taint("steal", 0.02, 0.01, Some(3))],
            ..Run::default()
        };
        assert_eq!(by_kind(&run).len(), 1);
        let facts = &mut run.header.environment;
        facts.insert("opt_level".to_owned(), "0".into());
        for _ in 0..2 {
            let found = by_kind(&run);
            assert_eq!(found.len(), 2);
            assert_eq!(found[0].title, "Built without optimisation");
            run.taints.push(taint("debug_build", 0.0, 0.0, None));
        }
    }

    #[test]
    fn a_falling_clock_is_worst_where_it_is_slowest() {
        let clock = |share, block| taint("frequency", share, 0.9, Some(block));
        let found = by_kind_of(vec![clock(0.85, 1), clock(0.4, 2), clock(0.88, 3)]);
        assert_eq!(found[0].message, "frequency 0.4");
    }

    #[test]
    fn largest_reading_without_a_bound_is_the_worst() {
        let swap = |bytes| Taint {
            bound: None,
            ..taint("swap", bytes, 0.0, None)
        };
        assert_eq!(by_kind_of(vec![swap(7.0), swap(9.0)])[0].message, "swap 9");
    }
}
