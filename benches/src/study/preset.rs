//! Presets: a choice of lanes, workloads and points for one question.

use std::collections::BTreeSet;

use clap::ValueEnum;
use workloads::catalogue::{self, Size, Workload};
use workloads::protocol::Parameters;

/// A choice of lanes, workloads and points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Our runtime beside its peers, on what each of them is good at.
    Peers,
    /// What an operation costs with ever more tasks.
    Growth,
    /// The workloads of the field at the sizes that others published.
    Published,
}

/// A workload, and the values of those of its parameters that differ from the
/// catalogue's.
type Points = (
    &'static str,
    &'static [(&'static str, &'static [u64], &'static [u64])],
);

/// What peers are compared on: workload, then parameter, its values in a quick
/// run and in others. A workload that this build lacks is passed over.
const PEERS: &[Points] = &[
    ("spawn.one", &[]),
    ("spawn.batch", &[("tasks_count", &[1_000], &[1_000])]),
    ("spawn.skynet", &[("leaves_count", &[1_000], &[1_000_000])]),
    ("switch.yield", &[("tasks_count", &[2, 1_000], &[2, 1_000])]),
    ("switch.pingpong", &[]),
    ("switch.roundtrip", &[]),
    ("switch.hog", &[]),
    (
        "switch.idle_wake",
        &[("idle_ns", &[100_000], &[100_000, 1_000_000])],
    ),
    ("share.select", &[]),
    (
        "share.counter",
        &[("tasks_count", &[8], &[64]), ("means", &[1], &[1])],
    ),
    ("memory.parked", &[]),
    ("io.sleepers", &[("tasks_count", &[1_000], &[10_000])]),
    (
        "io.tcp_echo",
        &[
            ("offered_per_s", &[0], &[0]),
            ("connections_count", &[64], &[64, 1_000]),
            ("requests_count", &[4_000], &[50_000]),
        ],
    ),
    (
        "io.tcp_burst",
        &[
            ("connections_count", &[64], &[64]),
            ("requests_count", &[16_000], &[100_000]),
        ],
    ),
];

/// Task counts by powers of ten.
const POWERS: &[u64] = &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
/// The same for a quick run.
const FEW_POWERS: &[u64] = &[1, 10, 100, 1_000, 10_000];

/// Where the cost of an operation is followed over the number of tasks.
const GROWTH: &[Points] = &[
    ("spawn.batch", &[("tasks_count", FEW_POWERS, POWERS)]),
    (
        "switch.yield",
        &[
            ("tasks_count", FEW_POWERS, POWERS),
            ("yields_count", &[20], &[20]),
        ],
    ),
    (
        "spawn.skynet",
        &[(
            "leaves_count",
            &[10, 100, 1_000, 10_000],
            &[10, 100, 1_000, 10_000, 100_000, 1_000_000],
        )],
    ),
    (
        "share.counter",
        &[
            ("tasks_count", FEW_POWERS, POWERS),
            ("additions_count", &[20], &[20]),
            ("means", &[1], &[1]),
        ],
    ),
    (
        "share.fan_in",
        &[
            (
                "producers_count",
                FEW_POWERS,
                &[1, 10, 100, 1_000, 10_000, 100_000],
            ),
            ("items_count", &[20], &[20]),
        ],
    ),
    (
        "io.tcp_echo",
        &[
            (
                "connections_count",
                &[1, 10, 100, 1_000],
                &[1, 10, 100, 1_000],
            ),
            ("requests_count", &[4_000], &[20_000]),
            ("offered_per_s", &[0], &[0]),
        ],
    ),
    // A reading of the host's memory cannot see less than a hundred tasks.
    (
        "memory.parked",
        &[(
            "tasks_count",
            &[100, 1_000, 10_000],
            &[100, 1_000, 10_000, 100_000, 1_000_000],
        )],
    ),
    (
        "io.sleepers",
        &[
            ("tasks_count", FEW_POWERS, POWERS),
            ("sleep_ns", &[100_000_000], &[1_000_000_000]),
        ],
    ),
];

/// The sizes at which perf bench, hackbench, skynet, lat_ctx and the Savina
/// suite are quoted; a quick run has fewer repeats of the same.
const PUBLISHED: &[Points] = &[
    ("spawn.batch", &[("tasks_count", &[40_000], &[40_000])]),
    (
        "spawn.skynet",
        &[("leaves_count", &[100_000], &[1_000_000])],
    ),
    ("switch.pipe", &[]),
    (
        "switch.ring",
        &[
            ("tasks_count", &[100], &[100]),
            ("hops_count", &[10_000], &[100_000]),
        ],
    ),
    ("switch.working_set", &[]),
    (
        "share.messaging",
        &[
            ("groups_count", &[10], &[10]),
            ("senders_count", &[20], &[20]),
            ("loops_count", &[10], &[100]),
        ],
    ),
    (
        "share.brigade",
        &[
            ("tasks_count", &[500], &[500]),
            ("rounds_count", &[20], &[1_000]),
        ],
    ),
    (
        "share.chameneos",
        &[
            ("creatures_count", &[100], &[100]),
            ("meetings_count", &[5_000], &[200_000]),
        ],
    ),
    (
        "share.big",
        &[
            ("tasks_count", &[120], &[120]),
            ("pings_count", &[200], &[20_000]),
        ],
    ),
    (
        "share.philosophers",
        &[
            ("tasks_count", &[20], &[20]),
            ("rounds_count", &[1_000], &[10_000]),
        ],
    ),
    (
        "share.bounded_buffer",
        &[
            ("tasks_count", &[40], &[40]),
            ("items_count", &[100], &[1_000]),
            ("capacity_count", &[50], &[50]),
        ],
    ),
    (
        "io.sleepers",
        &[
            ("tasks_count", &[1, 10_000], &[1, 10_000, 100_000]),
            ("sleep_ns", &[100_000_000], &[10_000_000_000]),
        ],
    ),
];

impl Preset {
    /// The name, as it is kept with the run.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Growth => "growth",
            Self::Published => "published",
        }
    }

    /// The lanes, as far as this build has them.
    #[must_use]
    pub fn lanes(self) -> &'static [&'static str] {
        match self {
            Self::Peers => &[
                "threadbare",
                "threadbare-migrating",
                "go",
                "tokio",
                "tokio-ct",
                "tokio-mimalloc",
                "tokio-ct-mimalloc",
                "may",
                "smol",
                "rayon",
                "corosensei",
            ],
            Self::Growth => &["threadbare", "thread", "tokio", "go"],
            Self::Published => &["threadbare", "thread", "process", "tokio", "go"],
        }
    }

    /// The workloads, as far as this build has them.
    #[must_use]
    pub fn workloads(self) -> Vec<&'static Workload> {
        self.table()
            .iter()
            .filter_map(|(id, _)| catalogue::find(id))
            .collect()
    }

    /// The points of `workload`: the catalogue's, with this preset's values.
    #[must_use]
    pub fn points(self, workload: &Workload, size: Size, cpus: usize) -> Vec<Parameters> {
        let mut points = workload.points(size, cpus);
        if size == Size::Tiny {
            return points;
        }
        let own = self.table().iter().find(|(id, _)| *id == workload.id);
        for (name, quick, full) in own.map_or(&[][..], |(_, own)| own) {
            let values = if size == Size::Quick { quick } else { full };
            points = with_values(points, name, values);
        }
        points
    }

    fn table(self) -> &'static [Points] {
        match self {
            Self::Peers => PEERS,
            Self::Growth => GROWTH,
            Self::Published => PUBLISHED,
        }
    }
}

/// The points with each of these values in the place of what they have for the
/// parameter `name`.
pub(super) fn with_values(points: Vec<Parameters>, name: &str, values: &[u64]) -> Vec<Parameters> {
    let without: BTreeSet<Parameters> = points
        .into_iter()
        .map(|mut point| {
            point.remove(name);
            point
        })
        .collect();
    without
        .iter()
        .flat_map(|point| {
            values.iter().map(|&value| {
                let mut point = point.clone();
                point.insert(name.to_owned(), value);
                point
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_points_of_all_presets_are_valid() {
        for preset in Preset::value_variants() {
            assert!(preset.workloads().len() > 3);
            for workload in preset.workloads() {
                for size in [Size::Tiny, Size::Quick, Size::Full] {
                    let points = preset.points(workload, size, 4);
                    assert!(!points.is_empty(), "{}", workload.id);
                    for point in points {
                        workload.check(&point).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn growth_follows_the_powers_of_ten() {
        let batch = catalogue::find("spawn.batch").unwrap();
        let counts: Vec<u64> = Preset::Growth
            .points(batch, Size::Full, 4)
            .iter()
            .map(|point| point["tasks_count"])
            .collect();
        assert_eq!(counts, POWERS);
    }

    #[test]
    fn our_lane_and_the_models_are_there() {
        for preset in Preset::value_variants() {
            for lane in ["threadbare", "tokio", "go"] {
                assert!(preset.lanes().contains(&lane));
                assert!(crate::lanes::find(lane).is_some(), "{lane}");
            }
        }
    }
}
