//! Finds runs with the same samples, and runs whose times are a multiple of those of another run.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::run::Run;
use crate::stats::quantile::median;

/// Cells with fewer times are not compared.
const FEWEST_TIMES: usize = 5;

/// With fewer such cells, only a run with equal times is a copy.
const FEWEST_CELLS: usize = 8;

/// More cells make the result no more certain.
const MOST_CELLS: usize = 32;

/// Between two measured runs, the ratios of a cell's times differ by more than this.
const CONSTANT_RATIO: f64 = 1e-4;

/// The times of each cell in their order; the keys are digests of the cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Times {
    shard: u32,
    cells: BTreeMap<u64, Vec<u64>>,
}

impl Times {
    pub(super) fn of(run: &Run) -> Option<Times> {
        let mut cells: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for group in &run.groups {
            let mut hasher = DefaultHasher::new();
            (
                &group.workload,
                &group.lane,
                &group.parameters,
                group.control,
            )
                .hash(&mut hasher);
            let own = group.samples.iter().map(|sample| sample.elapsed_ns);
            cells.entry(hasher.finish()).or_default().extend(own);
        }
        let shard = run.header.design.shard.map_or(0, |shard| shard.index);
        (!cells.is_empty()).then_some(Times { shard, cells })
    }

    /// The factor between these times and those of `other`: the median over the cells with a
    /// constant factor. `None` if most cells have no constant factor, or if there are too few
    /// cells.
    pub(super) fn ratio_to(&self, other: &Times) -> Option<f64> {
        if self == other {
            return Some(1.0);
        }
        if self.shard != other.shard {
            return None;
        }
        let both = self.cells.iter().filter_map(|(cell, times)| {
            let other_times = other.cells.get(cell)?;
            let is_enough = times.len() == other_times.len() && times.len() >= FEWEST_TIMES;
            is_enough.then(|| constant_ratio(times, other_times))
        });
        let found: Vec<Option<f64>> = both.take(MOST_CELLS).collect();
        let ratios: Vec<f64> = found.iter().copied().flatten().collect();
        let is_most = found.len() >= FEWEST_CELLS && ratios.len() * 2 > found.len();
        median(&ratios).filter(|_| is_most)
    }
}

fn constant_ratio(times: &[u64], other_times: &[u64]) -> Option<f64> {
    let ratio = |(time, other): (&u64, &u64)| *time as f64 / (*other).max(1) as f64;
    let mut ratios = times.iter().zip(other_times).map(ratio);
    let first = ratios.next()?;
    ratios
        .all(|ratio| (ratio / first - 1.0).abs() < CONSTANT_RATIO)
        .then_some(first)
}
