//! The A/A pairs of a run: a lane against itself in the same design.

use serde::Serialize;

use super::cells::Cell;
use super::quantity::Quantity;
use super::row::Case;
use crate::stats::bootstrap::Ratio;
use crate::stats::noise::floor;

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
                (ratio.value.is_finite() && ratio.value > 0.0).then(|| NoisePair {
                    workload: control.workload.clone(),
                    case: control.case.clone(),
                    quantity: control.quantity.clone(),
                    lane: control.lane.clone(),
                    ratio,
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
        let alike = || {
            self.pairs
                .iter()
                .filter(|pair| pair.quantity.id == quantity.id)
        };
        let all: Vec<f64> = alike().map(|pair| pair.ratio.value).collect();
        if all.is_empty() {
            return self.largest();
        }
        let own: Vec<f64> = alike()
            .filter(|pair| pair.workload == workload)
            .map(|pair| pair.ratio.value)
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
