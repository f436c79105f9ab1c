//! Comparison of runs with published figures.

use reports::published::{Agreement, Judged, judge};
use reports::{Analysis, Run};

use crate::synthetic::{self, Wish};

const LAUNCH: &str = "Starting and joining a task: process against thread";

fn judged(run: &Run, what: &str) -> Judged {
    let all = judge(run, &Analysis::of(run));
    let found = all.into_iter().find(|one| one.figure.what == what);
    found.expect(what)
}

/// The synthetic run in which starting a process takes `ratio` times as long as starting a thread.
fn launch(ratio: f64) -> Run {
    let mut run = synthetic::run(Wish::default());
    let of = |groups: &[reports::schema::Group], lane: &str| {
        let mut groups = groups.iter();
        let first = groups.find(|one| one.workload == "spawn.one" && one.lane == lane);
        first.unwrap().samples[0].clone()
    };
    let thread = of(&run.groups, "thread");
    let process = of(&run.groups, "process");
    let time = |sample: &reports::schema::Sample| {
        sample.elapsed_ns as f64 / sample.operations_count as f64
    };
    let factor = ratio * time(&thread) / time(&process);
    for group in &mut run.groups {
        if group.workload == "spawn.one" && group.lane == "process" {
            for sample in &mut group.samples {
                sample.elapsed_ns = (sample.elapsed_ns as f64 * factor) as u64;
            }
        }
    }
    run
}

#[test]
fn ratio_agrees_within_a_factor_of_two_and_differs_beyond() {
    // The published ratio is 22 ÷ 5 = 4.4.
    for (ratio, agreement) in [
        (4.4, Agreement::Agrees),
        (2.6, Agreement::Agrees),
        (7.5, Agreement::Agrees),
        (1.5, Agreement::Differs),
        (12.0, Agreement::Differs),
    ] {
        let one = judged(&launch(ratio), LAUNCH);
        assert_eq!(one.agreement, agreement, "{ratio}: {one:?}");
        let ours = one.ratio.unwrap().value;
        assert!((ours / ratio - 1.0).abs() < 0.1, "{ours} for {ratio}");
        assert_eq!(one.verdict_text(), agreement.words());
    }
}

#[test]
fn figure_that_cannot_be_compared_gives_the_reason() {
    let near_the_limit = judged(&launch(8.8), LAUNCH);
    assert_eq!(near_the_limit.agreement, Agreement::CannotBeCompared);
    assert_eq!(near_the_limit.reason, "too noisy to say");

    let mut without_process = launch(4.4);
    without_process
        .groups
        .retain(|group| group.lane != "process");
    let one = judged(&without_process, LAUNCH);
    assert_eq!(one.reason, "spawn.one on process was not measured");
    assert!(one.ratio.is_none() && one.ours.starts_with("thread "));

    let mut one_process_each = launch(4.4);
    one_process_each
        .groups
        .retain(|group| group.process_index == 0);
    assert_eq!(
        judged(&one_process_each, LAUNCH).reason,
        "too few processes for an interval"
    );

    let chain = "A chain of 1,000 tasks that start each other, a task: tokio";
    let shown = judged(&launch(4.4), chain);
    assert_eq!(shown.agreement, Agreement::CannotBeCompared);
    assert_eq!(shown.reason, "it compares two versions of tokio");
}

#[test]
fn figure_of_one_cpu_is_compared_only_with_runs_on_one_cpu() {
    let mut run = launch(4.4);
    // The synthetic run has no `share.brigade`; `spawn.batch` takes its place.
    for workload in &mut run.header.workloads {
        if workload.id == "spawn.batch" {
            workload.id = "share.brigade".into();
        }
    }
    for group in &mut run.groups {
        if group.workload == "spawn.batch" {
            group.workload = "share.brigade".into();
            group.parameters = [("tasks_count".to_owned(), 500)].into();
        }
    }
    let (several, single) = (
        "A byte through a pipe to the next of 500 tasks: thread against async task",
        "The same on one CPU",
    );
    assert_eq!(judged(&run, single).reason, "it is of one CPU (--cpus)");
    assert!(judged(&run, several).reason != "it is of several CPUs");
    run.header.design.cpus = vec![0];
    assert_eq!(judged(&run, several).reason, "it is of several CPUs");
    assert!(judged(&run, single).reason != "it is of one CPU (--cpus)");
}
