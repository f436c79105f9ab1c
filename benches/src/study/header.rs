//! The result file's header.

use std::collections::BTreeMap;

use reports::schema::{
    Better, Design, FirstScreen, Header, Lane, Measure, Metric, SCHEMA_VERSION, SameAs,
    Workload as Described, WorkloadGroup,
};
use serde_json::json;
use workloads::catalogue::{self, MetricKind, Workload};
use workloads::protocol::Parameters;

use super::plan::Plan;
use super::probe::{Known, ProbedLane};
use super::setup::Setup;
use crate::environment;

pub(super) const THRESHOLD_RATIO: f64 = 0.05;

pub(super) const PLAN: &str = "plan";

pub(super) fn header(setup: &Setup, lanes: &[ProbedLane], plan: &Plan) -> Header {
    let mut design = Design {
        depth: setup.depth,
        command: setup.command.clone(),
        processes_count: plan.processes_count(),
        blocks_count: plan.blocks.len() as u64,
        samples_count: plan.samples_count(),
        cpus: setup
            .cpus
            .numbers()
            .iter()
            .filter_map(|&cpu| u32::try_from(cpu).ok())
            .collect(),
        reference_lane: setup.reference_lane.clone(),
        threshold_ratio: THRESHOLD_RATIO,
        precision_ratio: plan.precision_ratio,
        goes_on: plan.goes_on,
        shard: setup.shard,
        preset: setup.preset.map(|preset| preset.name().to_owned()),
        ..Design::default()
    };
    design.extra.insert(PLAN.to_owned(), json!(plan));
    Header {
        schema_version: SCHEMA_VERSION,
        run_id: setup.run_id.clone(),
        started: now(),
        threadbare_version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: setup.seed,
        design,
        host: environment::host(),
        environment: environment::software(),
        lanes: lanes.iter().map(describe_lane).collect(),
        groups: groups(&setup.workloads),
        workloads: setup
            .workloads
            .iter()
            .map(|workload| describe(workload, plan))
            .collect(),
        ..Header::default()
    }
}

pub(super) fn now() -> String {
    let now = jiff::Zoned::now();
    now.timestamp()
        .display_with_offset(now.offset())
        .to_string()
}

pub(super) fn describe_lane(probed: &ProbedLane) -> Lane {
    let lane = &probed.lane;
    let described = Lane {
        name: lane.name.clone(),
        noun: lane.noun.clone(),
        variant_of: lane.variant_of.clone(),
        remark: lane.remark.clone(),
        ..Lane::default()
    };
    match &probed.known {
        Known::Runs(_, hello) => Lane {
            language: hello.language.clone(),
            runtime: hello.runtime.clone(),
            commit: hello.commit.clone(),
            cpus_count: hello.cpus_count,
            workloads: hello.workloads.clone(),
            ..described
        },
        Known::Absent(..) => described,
    }
}

pub(super) fn describe(workload: &Workload, plan: &Plan) -> Described {
    let cases: Vec<&Parameters> = plan
        .cells
        .iter()
        .filter(|cell| cell.workload == workload.id)
        .map(|cell| &cell.parameters)
        .collect();
    Described {
        id: workload.id.to_owned(),
        title: workload.title.to_owned(),
        question: workload.question.to_owned(),
        operation: workload.operation.to_owned(),
        activity: workload.activity.to_owned(),
        measures: workload.metrics.iter().map(measure).collect(),
        metrics: workload
            .figures
            .iter()
            .map(|name| figure_of(workload, name))
            .collect(),
        axis: axis(workload, &cases),
        level: workload.level.to_owned(),
        group: workload.group().to_owned(),
        first_screen: first_screen(workload),
        roles: workload
            .roles
            .iter()
            .filter_map(|role| from_name(role))
            .collect(),
        telling: owned(workload.telling),
        same_as: same_as(workload),
        parameters: workload
            .parameters
            .iter()
            .map(|one| (one.name.to_owned(), one.meaning.to_owned()))
            .collect(),
        includes: workload.includes.to_owned(),
        leaves_out: workload.leaves_out.to_owned(),
        ..Described::default()
    }
}

fn measure(kind: &MetricKind) -> Measure {
    match kind {
        MetricKind::TimePerOperation => Measure::Time,
        MetricKind::Throughput => Measure::Throughput,
        MetricKind::MemoryLedger => Measure::Memory,
        MetricKind::Latency => Measure::Latency,
        MetricKind::Scaling => Measure::Scaling,
        MetricKind::Efficiency => Measure::Efficiency,
    }
}

fn figure_of(workload: &Workload, name: &str) -> Metric {
    let mut figure = figure(name);
    if (workload.id, name) == ("io.email", "load_busy_ratio") {
        // The lane's peer here is a mail server.
        "share of the time in which the mail server was busy".clone_into(&mut figure.title);
    }
    figure
}

fn figure(name: &str) -> Metric {
    let known = catalogue::FIGURES.iter().find(|(known, _)| *known == name);
    let title = known.map_or(name, |(_, title)| title);
    let better = if name.ends_with("_per_s") || name.contains("headroom") {
        Better::Higher
    } else {
        Better::Lower
    };
    Metric {
        name: name.to_owned(),
        title: title.to_owned(),
        better,
    }
}

/// The parameter with the most values; `None` if none varies.
fn axis(workload: &Workload, cases: &[&Parameters]) -> Option<String> {
    let values_of = |name: &str| {
        let values = cases.iter().filter_map(|case| case.get(name));
        values.collect::<std::collections::BTreeSet<_>>().len()
    };
    let counts: BTreeMap<&str, usize> = workload
        .parameters
        .iter()
        .map(|one| (one.name, values_of(one.name)))
        .collect();
    // A sweep of workers is a scaling curve, even if other parameters vary too.
    let workers = counts.get("workers_count").filter(|&&count| count > 1);
    if workers.is_some() {
        return Some("workers_count".to_owned());
    }
    let (name, _) = counts
        .into_iter()
        .filter(|&(_, count)| count > 1)
        .max_by_key(|&(_, c)| c)?;
    Some(name.to_owned())
}

fn from_name<T: serde::de::DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(json!(name)).ok()
}

fn first_screen(workload: &Workload) -> Option<FirstScreen> {
    let place = workload.first_screen?;
    Some(FirstScreen {
        question: from_name(place.question)?,
        rank: place.rank,
        quantity: place.quantity.map(str::to_owned),
        parameters: values(place.parameters),
    })
}

fn values(parameters: &[(&str, u64)]) -> Parameters {
    let owned = |&(name, value): &(&str, u64)| (name.to_owned(), value);
    parameters.iter().map(owned).collect()
}

fn same_as(workload: &Workload) -> Option<SameAs> {
    let (other, parameters) = workload.same_as?;
    Some(SameAs {
        workload: other.to_owned(),
        parameters: values(parameters),
    })
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn groups(workloads: &[&Workload]) -> Vec<WorkloadGroup> {
    let is_run = |group: &&catalogue::Group| {
        let mut members = workloads.iter();
        members.any(|workload| workload.group() == group.id)
    };
    let describe = |group: &catalogue::Group| WorkloadGroup {
        id: group.id.to_owned(),
        title: group.title.to_owned(),
        lead: group.lead.to_owned(),
    };
    catalogue::GROUPS
        .iter()
        .filter(is_run)
        .map(describe)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::schema::{FirstQuestion, Group, Role, Sample};
    use workloads::catalogue::{Size, find};

    #[test]
    fn a_sweep_of_workers_is_the_axis_though_another_parameter_varies() {
        let primes = find("cpu.primes").unwrap();
        let cases = primes.cases(Size::Full, 4);
        let cases: Vec<&Parameters> = cases.iter().collect();
        assert_eq!(axis(primes, &cases).as_deref(), Some("workers_count"));
    }

    #[test]
    fn a_workload_with_one_case_has_no_axis() {
        let batch = find("spawn.batch").unwrap();
        let cases = batch.cases(Size::Quick, 4);
        assert_eq!(axis(batch, &cases.iter().collect::<Vec<_>>()), None);
    }

    #[test]
    fn every_figure_of_the_catalogue_has_a_title() {
        for workload in catalogue::all() {
            for name in workload.figures {
                assert_ne!(figure(name).title, *name, "{}", workload.id);
            }
        }
        assert_eq!(
            figure("wake_ns").title,
            "time from the send to the woken task"
        );
        assert_eq!(figure("capacity_per_s").better, Better::Higher);
    }

    #[test]
    fn header_knows_every_name_of_the_catalogue() {
        for workload in catalogue::all() {
            for role in workload.roles {
                let role: Option<Role> = from_name(role);
                assert!(role.is_some_and(|role| role != Role::Unknown), "{role:?}");
            }
            if workload.first_screen.is_some() {
                let place = first_screen(workload).expect("a place");
                assert_ne!(place.question, FirstQuestion::Unknown, "{}", workload.id);
            }
            if let Some((other, parameters)) = workload.same_as {
                assert!(find(other).is_some(), "{other}");
                let mut names = parameters.iter().map(|(name, _)| name);
                assert!(names.all(|name| workload.has_parameter(name)));
            }
        }
    }

    static ADDED: Workload = Workload {
        id: "cpu.added",
        title: "Added by a test",
        question: "Does a workload that is only in the catalogue reach the page?",
        activity: "adding a workload",
        first_screen: Some(catalogue::FirstScreen::of("compute", 0)),
        operation: "addition",
        includes: "All of it.",
        leaves_out: "Nothing.",
        ..catalogue::PLAIN
    };

    #[test]
    fn workload_added_to_the_catalogue_is_on_the_page_with_all_its_facts() {
        let plan = Plan::default();
        let mut run = reports::Run::default();
        run.header.design.reference_lane = "b".to_owned();
        run.header.workloads = vec![describe(&ADDED, &plan)];
        run.header.groups = groups(&[&ADDED]);
        run.header.lanes = ["a", "b"]
            .map(|name| Lane {
                name: name.to_owned(),
                ..Lane::default()
            })
            .into();
        for (process, lane) in (0..12).zip(["a", "b"].into_iter().cycle()) {
            run.groups.push(Group {
                workload: ADDED.id.to_owned(),
                lane: lane.to_owned(),
                process_index: process / 2,
                block_index: process / 2,
                samples: vec![Sample {
                    elapsed_ns: if lane == "a" { 1_000 } else { 9_000 } + process,
                    operations_count: 1,
                    ..Sample::default()
                }],
                ..Group::default()
            });
        }
        let page = reports::html::render(&run);
        for text in [
            ADDED.title,
            ADDED.question,
            ADDED.leaves_out,
            "Computing on many cores",
        ] {
            assert!(page.contains(text), "{text}");
        }
    }

    #[test]
    fn the_time_of_a_run_has_an_offset() {
        let now = now();
        assert!(now.parse::<jiff::Timestamp>().is_ok(), "{now}");
    }
}
