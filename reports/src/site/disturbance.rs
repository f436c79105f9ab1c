//! The disturbances of the runs of a setup.

use std::cmp::Reverse;

use super::Setup;
use crate::format;

/// A kind of disturbance in the runs of a setup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disturbance<'a> {
    /// The kind, in words.
    pub title: &'a str,
    /// The largest share of a run's blocks; `None` if a whole run was affected.
    pub share: Option<f64>,
    /// The number of affected runs.
    pub runs_count: usize,
}

impl Disturbance<'_> {
    /// The disturbance in a few words; `runs_count` is the number of the setup's runs.
    #[must_use]
    pub fn text(&self, runs_count: usize) -> String {
        let when = match self.share {
            None => String::new(),
            Some(share) => format!(" in {} of the blocks", format::percent(share)),
        };
        let runs = match runs_count {
            1 => String::new(),
            all => format!(" ({} of {all} runs)", self.runs_count),
        };
        format!("{}{when}{runs}", self.title)
    }
}

/// The largest share of a run's blocks that one kind of disturbance affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbed {
    /// The runs have no disturbances.
    Nowhere,
    /// Up to half of the blocks, or only kinds that affect whole runs.
    Somewhere,
    /// More than half of the blocks.
    Mostly,
}

impl Disturbed {
    /// The words in the filter.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Nowhere => "none",
            Self::Somewhere => "in up to half of a run",
            Self::Mostly => "in most of a run",
        }
    }
}

impl Setup {
    /// The disturbances by their largest share in one run, descending; kinds that affected a whole
    /// run are last.
    #[must_use]
    pub fn disturbances(&self) -> Vec<Disturbance<'_>> {
        let mut found: Vec<Disturbance<'_>> = Vec::new();
        for kind in self.runs.iter().flat_map(|run| &run.disturbances) {
            match found.iter_mut().find(|one| one.title == kind.title) {
                Some(one) => {
                    one.runs_count += 1;
                    one.share = match (one.share, kind.share()) {
                        (Some(share), Some(other)) => Some(share.max(other)),
                        _ => None,
                    };
                }
                None => found.push(Disturbance {
                    title: &kind.title,
                    share: kind.share(),
                    runs_count: 1,
                }),
            }
        }
        // Shares are compared in thousandths, because `f64` has no total order.
        found.sort_by_key(|one| Reverse(one.share.map(|share| (share * 1e3) as u64)));
        found
    }

    /// The largest share of a run's blocks that one kind of disturbance affected.
    #[must_use]
    pub fn disturbed(&self) -> Disturbed {
        let found = self.disturbances();
        let affects_most = |one: &Disturbance<'_>| one.share.is_some_and(|share| share > 0.5);
        match found.is_empty() {
            true => Disturbed::Nowhere,
            false if found.iter().any(affects_most) => Disturbed::Mostly,
            false => Disturbed::Somewhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Figures, Kept};
    use crate::taints::Tainted;

    fn tainted(title: &str, blocks_count: usize) -> Tainted {
        Tainted {
            title: title.to_owned(),
            meaning: "",
            blocks_count,
            run_blocks_count: 10,
            message: String::new(),
        }
    }

    fn setup(runs: &[&[(&str, usize)]]) -> Setup {
        let run = |kinds: &&[(&str, usize)]| Kept {
            file: String::new(),
            started: String::new(),
            run_id: String::new(),
            disturbances: kinds
                .iter()
                .map(|(title, count)| tainted(title, *count))
                .collect(),
            raw: None,
            figures: Figures::new(),
        };
        Setup {
            facts: Vec::new(),
            cpus_count: 1,
            runs: runs.iter().map(run).collect(),
            figures: Figures::new(),
            derived: false,
        }
    }

    #[test]
    fn taints_of_all_runs_are_merged_with_the_worst_reading() {
        let two = setup(&[
            &[("steal", 2), ("governor", 0)],
            &[("steal", 4), ("swap", 6)],
        ]);
        let texts: Vec<String> = two.disturbances().iter().map(|one| one.text(2)).collect();
        let expected = [
            "swap in 60.0% of the blocks (1 of 2 runs)",
            "steal in 40.0% of the blocks (2 of 2 runs)",
            "governor (1 of 2 runs)",
        ];
        assert_eq!(texts, expected);
        assert_eq!(two.disturbed(), Disturbed::Mostly);
        let one = setup(&[&[("steal", 5)]]);
        assert_eq!(
            one.disturbances()[0].text(1),
            "steal in 50.0% of the blocks"
        );
        assert_eq!(one.disturbed(), Disturbed::Somewhere);
        assert_eq!(setup(&[&[]]).disturbed(), Disturbed::Nowhere);
    }
}
