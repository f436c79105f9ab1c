//! The A/A pairs of a run: a lane against itself in the same design.
//!
//! The pair of a figure that is a slope over many processes, as memory is, is
//! the whole sweep once more: slope against slope. One that cannot be told from
//! nothing is no pair, as its ratio to another like it may be anything.

use serde::Serialize;

use super::cells::Cell;
use super::quantity::{Quantity, Source};
use super::row::Case;
use crate::stats::bootstrap::Ratio;
use crate::stats::noise::floor;
use crate::stats::shift::{self, Design};

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
    /// What was compared.
    pub quantity: Quantity,
    /// The lane.
    pub lane: String,
    /// The second A over the first.
    pub ratio: Ratio,
    /// The same by the shift of its processes; `None` where they are too few.
    pub shift: Option<Ratio>,
}

/// False for a slope that may as well be nothing.
fn is_resolved(cell: &Cell) -> bool {
    let interval = cell.replicates.interval();
    cell.quantity.source != Source::Memory || interval.is_none_or(|interval| interval.low > 0.0)
}

impl Noise {
    pub(super) fn of(cells: &[Cell]) -> Noise {
        let pairs = cells
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
                let ratio = control.replicates.ratio(&twin.replicates);
                let is_usable = ratio.value.is_finite()
                    && ratio.value > 0.0
                    && [control, twin].into_iter().all(is_resolved)
                    // One process against one shows nothing of a further figure.
                    && (control.quantity.rank == 0 || ratio.interval.is_some());
                is_usable.then(|| NoisePair {
                    workload: control.workload.clone(),
                    case: control.case.clone(),
                    quantity: control.quantity.clone(),
                    lane: control.lane.clone(),
                    ratio,
                    shift: shift::between(&control.processes, &twin.processes, Design::Paired),
                })
            });
        Noise {
            pairs: pairs.collect(),
        }
    }

    /// The noise floor of a workload's quantity, as a share; `None` where
    /// the run has no A/A pair at all. A quantity without pairs of its own
    /// has the floor of all others.
    #[must_use]
    pub fn floor(&self, workload: &str, quantity: &Quantity) -> Option<f64> {
        self.floor_by(workload, quantity, |pair| pair.ratio)
    }

    /// The noise floor of what a lane has changed by: see [`shift`].
    #[must_use]
    pub fn shift_floor(&self, workload: &str, quantity: &Quantity) -> Option<f64> {
        self.floor_by(workload, quantity, |pair| pair.shift.unwrap_or(pair.ratio))
    }

    fn floor_by(
        &self,
        workload: &str,
        quantity: &Quantity,
        of: impl Fn(&NoisePair) -> Ratio,
    ) -> Option<f64> {
        let alike = || {
            self.pairs
                .iter()
                .filter(|pair| pair.quantity.id == quantity.id)
        };
        let all: Vec<f64> = alike().map(|pair| of(pair).value).collect();
        if all.is_empty() {
            return self.largest();
        }
        let own: Vec<f64> = alike()
            .filter(|pair| pair.workload == workload)
            .map(|pair| of(pair).value)
            .collect();
        floor(&own, &all)
    }

    /// The largest distance of a pair from 1, as a share, over the first
    /// quantity of each workload: tails are further apart by nature.
    #[must_use]
    pub fn largest(&self) -> Option<f64> {
        let ratios = |first: bool| -> Vec<f64> {
            let pairs = self.pairs.iter();
            let pairs = pairs.filter(|pair| pair.quantity.rank == 0 || !first);
            pairs.map(|pair| pair.ratio.value).collect()
        };
        floor(&[], &ratios(true)).or_else(|| floor(&[], &ratios(false)))
    }
}
