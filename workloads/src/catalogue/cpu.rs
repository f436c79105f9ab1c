//! Parts common to the workloads of [`crate::kernels`].

use super::{FROM_ONE_TO_CPUS, Group, MetricKind, Parameter, count, from_zero, get};
use crate::kernels::{self, Kernel};
use crate::protocol::Parameters;

/// How many chunks may run at once: a sweep over the CPUs.
pub const WORKERS: Parameter = from_zero(
    "workers_count",
    "how many chunks may run at once; 0: as many as the lane has CPUs",
    [&[0, 2], FROM_ONE_TO_CPUS, FROM_ONE_TO_CPUS],
    100_000,
);
pub(crate) const SOME_WORKERS: Parameter = count(
    "workers_count",
    "how many chunks may run at once, and how many times the work is done",
    [&[1, 2], FROM_ONE_TO_CPUS, FROM_ONE_TO_CPUS],
    100_000,
);
pub(crate) const INCLUDES_WEAK: &str = "All chunks, once for each worker. With perfect scaling the time is the same for any number of workers.";
pub(crate) const INCLUDES: &str = "The computation of every chunk, and the lane's way to give chunks to CPUs and to collect the results.";
pub(crate) const METRICS: &[MetricKind] = &[MetricKind::Scaling, MetricKind::TimePerOperation];
pub(crate) const METRICS_WEAK: &[MetricKind] =
    &[MetricKind::Efficiency, MetricKind::TimePerOperation];

pub(crate) const fn chunks(values: [&'static [u64]; 3]) -> Parameter {
    count(
        "chunks_count",
        "independent parts of the work",
        values,
        10_000_000,
    )
}

/// Enough chunks to spread over many CPUs.
pub const CHUNKS: Parameter = chunks([&[8], &[64], &[64]]);

pub(super) const GROUP: Group = Group {
    id: "cpu",
    title: "Computing on many cores",
    lead: "Strong scaling: the same work with more workers. Weak scaling: as many times the work as there are workers; 100% efficiency is ideal.",
    lists: kernels::WORKLOADS,
};

/// The right checksum: the sum over all chunks.
pub fn all_chunks(kernel: Kernel, parameters: &Parameters) -> u64 {
    let chunk = kernel(parameters);
    (0..get(parameters, "chunks_count"))
        .map(|index| chunk(index))
        .sum()
}
