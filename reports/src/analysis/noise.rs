//! The A/A pairs of a run: a lane measured twice in the same design.
//!
//! For a slope over many processes, such as memory, the whole sweep is measured twice. A slope that
//! may be zero makes no pair, because its ratio can have any value.

use serde::Serialize;

use super::cells::Cell;
use super::quantity::{Quantity, Source};
use super::row::Case;
use crate::stats::FALSE_DISCOVERY_RATE_OF_LOOKS;
use crate::stats::bootstrap::Ratio;
use crate::stats::drift::deviation;
use crate::stats::noise::inflation;
use crate::stats::quantile::median;
use crate::stats::shift::half_width;
use crate::stats::verdict::{Bound, Comparison, Verdict, verdicts};

/// All A/A pairs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Noise {
    /// The pairs, in the order of the header.
    pub pairs: Vec<NoisePair>,
}

/// One lane against itself.
#[derive(Clone, Debug, Serialize)]
pub struct NoisePair {
    /// The workload's id.
    pub workload: String,
    /// The parameters.
    pub case: Case,
    /// The quantity that was compared.
    pub quantity: Quantity,
    /// The lane.
    pub lane: String,
    /// The lane's second figure ÷ its first.
    pub ratio: Ratio,
    /// The verdict before any inflation. *Faster* and *slower* are errors of the method here.
    pub verdict: Verdict,
}

impl NoisePair {
    /// How far the ratio is from 1, as a share.
    #[must_use]
    pub fn distance(&self) -> f64 {
        self.ratio.value.ln().abs().exp_m1()
    }

    /// The smallest change that a comparison with this spread would show, as a share.
    #[must_use]
    pub fn half_width(&self) -> Option<f64> {
        half_width(&self.ratio)
    }
}

/// False for a slope that may be zero.
fn is_resolved(cell: &Cell) -> bool {
    let interval = cell.replicates.interval();
    cell.quantity.source != Source::Memory || interval.is_none_or(|interval| interval.low > 0.0)
}

impl Noise {
    pub(super) fn of(cells: &[Cell], bound: Bound) -> Noise {
        let mut pairs: Vec<NoisePair> = cells
            .iter()
            .filter(|cell| cell.control)
            .filter_map(|control| {
                let twin = cells.iter().find(|cell| {
                    !cell.control
                        && cell.workload == control.workload
                        && cell.lane == control.lane
                        && cell.case == control.case
                        && cell.quantity == control.quantity
                })?;
                let ratio = control.ratio_to(twin)?;
                let is_usable = [control, twin].into_iter().all(is_resolved)
                    // The ratio of two single processes counts only for main figures.
                    && (control.quantity.rank == 0 || ratio.interval.is_some());
                is_usable.then(|| NoisePair {
                    workload: control.workload.clone(),
                    case: control.case.clone(),
                    quantity: control.quantity.clone(),
                    lane: control.lane.clone(),
                    ratio,
                    verdict: Verdict::CannotTell,
                })
            })
            .collect();
        let page: Vec<Comparison> = pairs
            .iter()
            .map(|pair| Comparison::new(pair.ratio, bound))
            .collect();
        // Each pair is judged alone, because the false discovery rate applies to pages with true
        // differences, and repeats have none.
        for (pair, comparison) in pairs.iter_mut().zip(page) {
            pair.verdict = verdicts(&[comparison], FALSE_DISCOVERY_RATE_OF_LOOKS)[0];
        }
        Noise { pairs }
    }

    /// The pairs of main figures.
    pub fn main(&self) -> impl Iterator<Item = &NoisePair> {
        self.pairs.iter().filter(|pair| pair.quantity.rank == 0)
    }

    /// The factor by which intervals of this figure are too narrow, at least 1, by the pairs of its
    /// workload and of the run. Main figures and others are each corrected by their own pairs.
    #[must_use]
    pub fn inflation(&self, workload: &str, quantity: &Quantity) -> f64 {
        let comparable_pairs = || {
            let is_main = quantity.rank == 0;
            let pairs = self.pairs.iter();
            pairs.filter(move |pair| (pair.quantity.rank == 0) == is_main)
        };
        let own = comparable_pairs()
            .filter(|pair| pair.workload == workload && pair.quantity == *quantity);
        let deviations = |pair: &NoisePair| deviation(&pair.ratio);
        let all: Vec<f64> = comparable_pairs().filter_map(deviations).collect();
        let own: Vec<f64> = own.filter_map(deviations).collect();
        inflation(&own, &all)
    }

    /// How much repeats differ, as a share: the median over the pairs of main figures.
    #[must_use]
    pub fn typical(&self) -> Option<f64> {
        median(&self.main().map(NoisePair::distance).collect::<Vec<_>>())
    }

    /// How many pairs of main figures the rules call different, and how many there are.
    #[must_use]
    pub fn called_different(&self) -> (usize, usize) {
        let is_difference = |pair: &&NoisePair| pair.verdict.is_difference();
        (
            self.main().filter(is_difference).count(),
            self.main().count(),
        )
    }
}
