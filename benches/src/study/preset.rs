use std::collections::BTreeSet;

use clap::ValueEnum;
use reports::published;
use workloads::catalogue::{self, Size, Values, Workload};
use workloads::protocol::Parameters;

/// A choice of lanes, workloads and cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Our runtime and its peers, on workloads that suit each of them.
    Peers,
    /// The cost of an operation as the number of tasks grows.
    Growth,
    /// The cells that repeat published figures; the report says which of these the run agrees with.
    Published,
    /// A whole HTTP service: the most requests a second within the limit of latency.
    Service,
}

impl Preset {
    /// The name, as it is kept with the run.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Growth => "growth",
            Self::Published => "published",
            Self::Service => "service",
        }
    }

    /// The names of the lanes. This build, or this host, may lack some.
    #[must_use]
    pub fn lanes(self) -> Vec<&'static str> {
        match self {
            Self::Peers => vec![
                "threadbare",
                "threadbare-migrating",
                "go",
                "tokio",
                "tokio-ct",
                "tokio-mimalloc",
                "tokio-ct-mimalloc",
                "may",
                "smol",
                "compio",
                "rayon",
                "corosensei",
            ],
            Self::Growth => vec!["threadbare", "thread", "tokio", "go"],
            Self::Published => {
                let mut lanes = vec!["threadbare"];
                for cell in published_cells() {
                    if !lanes.contains(&&*cell.lane) {
                        lanes.push(&cell.lane);
                    }
                }
                lanes
            }
            Self::Service => vec![
                "threadbare",
                "threadbare-migrating",
                "thread",
                "thread-pool",
                "process",
                "process-pool",
                "tokio",
                "tokio-ct",
                "smol",
                "go",
                "java-thread",
                "java-virtual",
                "node-async",
                "python-asyncio",
            ],
        }
    }

    /// The workloads, in the order of the catalogue.
    #[must_use]
    pub fn workloads(self) -> Vec<&'static Workload> {
        catalogue::all().filter(|one| self.has(one)).collect()
    }

    /// The catalogue's cases of `workload`, with this preset's values.
    #[must_use]
    pub fn cases(self, workload: &Workload, size: Size, cpus: usize) -> Vec<Parameters> {
        let mut cases = workload.cases(size, cpus);
        if size == Size::Tiny {
            return cases;
        }
        if self == Self::Published {
            let cells = published_cells().filter(|cell| cell.workload == workload.id);
            let of_cell = |cell: &published::Cell| {
                let parameters = cell.parameters.iter();
                parameters.fold(cases.clone(), |cases, (name, value)| {
                    with_values(cases, name, &[*value])
                })
            };
            let all: BTreeSet<Parameters> = cells.flat_map(of_cell).collect();
            return all.into_iter().collect();
        }
        for (name, quick, full) in self.values(workload).unwrap_or_default() {
            let values = if size == Size::Quick { quick } else { full };
            cases = with_values(cases, name, values);
        }
        cases
    }

    fn has(self, workload: &Workload) -> bool {
        match self {
            Self::Published => published_cells().any(|cell| cell.workload == workload.id),
            _ => self.values(workload).is_some(),
        }
    }

    /// The values that replace the catalogue's; `None` if the workload is not in the preset. The
    /// cells of `Published` have their own values.
    fn values(self, workload: &Workload) -> Option<Values> {
        match self {
            Self::Peers => workload.presets.peers,
            Self::Growth => workload.presets.growth,
            Self::Published => None,
            Self::Service => workload.presets.service,
        }
    }
}

fn published_cells() -> impl Iterator<Item = &'static published::Cell> {
    let compared_figures = published::all().iter().filter(|one| one.shown.is_none());
    compared_figures.flat_map(published::Figure::cells)
}

pub(super) fn with_values(cases: Vec<Parameters>, name: &str, values: &[u64]) -> Vec<Parameters> {
    let without_parameter: BTreeSet<Parameters> = cases
        .into_iter()
        .map(|mut case| {
            case.remove(name);
            case
        })
        .collect();
    without_parameter
        .iter()
        .flat_map(|case| {
            values.iter().map(|&value| {
                let mut case = case.clone();
                case.insert(name.to_owned(), value);
                case
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane_process::Limits;
    use crate::study::setup::SMALL_FORM_PROCESSES;

    #[test]
    fn all_cases_of_all_presets_are_valid() {
        for preset in Preset::value_variants() {
            let least = if *preset == Preset::Service { 1 } else { 4 };
            assert!(preset.workloads().len() >= least);
            for workload in preset.workloads() {
                for size in [Size::Tiny, Size::Quick, Size::Full] {
                    let cases = preset.cases(workload, size, 4);
                    let has_cases = !workload.cases(size, 4).is_empty();
                    assert_eq!(!cases.is_empty(), has_cases, "{}", workload.id);
                    for case in cases {
                        workload.check(&case).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn sample_of_a_service_ends_well_within_the_time_of_a_sample() {
        let workload = catalogue::find("service.http").unwrap();
        for size in [Size::Quick, Size::Full] {
            for case in Preset::Service.cases(workload, size, 4) {
                let longest = longest_ns(&case);
                let limit = Limits::default().sample.as_nanos() as f64;
                assert!(3.0 * longest < 2.0 * limit, "{size:?}: {longest} ns");
            }
        }
    }

    fn longest_ns(case: &Parameters) -> f64 {
        (workloads::load::service::around_ns(case) + case["hold_ns"]) as f64
    }

    #[test]
    fn small_form_of_a_service_takes_less_than_a_minute() {
        const START_NS: f64 = 5e8;
        let workload = catalogue::find("service.http").unwrap();
        let lanes = workload.presets.lanes;
        assert!(lanes.iter().all(|lane| crate::lanes::find(lane).is_some()));
        let cells = (lanes.len() as u64 + 1) as f64;
        let cases = workload.cases(Size::Full, 4);
        let all = cases.iter().map(|one| longest_ns(one) + START_NS);
        let minute = 60e9;
        assert!(all.sum::<f64>() * cells * (SMALL_FORM_PROCESSES as f64) < minute);
    }

    #[test]
    fn a_whole_service_is_in_its_preset_only_and_not_in_a_quick_run() {
        for workload in catalogue::all() {
            let is_service = workload.group() == "service";
            let has_lanes = !workload.presets.lanes.is_empty();
            assert_eq!(has_lanes, is_service, "{}", workload.id);
            for preset in Preset::value_variants() {
                let has = preset.has(workload);
                let is_service_preset = *preset == Preset::Service;
                assert!(
                    !has || is_service_preset == is_service,
                    "{} {preset:?}",
                    workload.id
                );
            }
            assert!(!is_service || !workload.presets.quick, "{}", workload.id);
        }
    }

    /// A misspelt figure would never be compared.
    #[test]
    fn cells_of_published_figures_are_cells_of_the_suite() {
        for figure in published::all() {
            for cell in figure.cells() {
                let workload = catalogue::find(&cell.workload).expect(&cell.workload);
                assert!(crate::lanes::find(&cell.lane).is_some(), "{}", cell.lane);
                let mut case = workload.cases(Size::Full, 4).pop().unwrap();
                case.extend(cell.parameters.clone());
                workload.check(&case).unwrap();
                let named = cell.quantity.as_deref();
                let known = named.is_none_or(|name| workload.figures.contains(&name));
                assert!(known, "{named:?}");
            }
        }
    }

    #[test]
    fn growth_follows_the_powers_of_ten() {
        let batch = catalogue::find("spawn.batch").unwrap();
        let counts: Vec<u64> = Preset::Growth
            .cases(batch, Size::Full, 4)
            .iter()
            .map(|case| case["tasks_count"])
            .collect();
        assert_eq!(counts, [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]);
    }

    #[test]
    fn every_preset_has_threadbare_tokio_and_go() {
        for preset in Preset::value_variants() {
            for lane in ["threadbare", "tokio", "go"] {
                assert!(preset.lanes().contains(&lane));
                assert!(crate::lanes::find(lane).is_some(), "{lane}");
            }
        }
    }
}
