//! The gate, with injected slowdowns.

use std::collections::BTreeSet;

use reports::Run;
use reports::analysis::Case;
use reports::gate::{Outcome, gate};
use reports::run::BASE_SUFFIX;
use reports::schema::{Counters, Depth, Failure, FailureKind, Group};
use reports::stats::Verdict;

use crate::synthetic::{self, Wish};

fn full(seed: u64, slower: Option<(&'static str, f64)>) -> Run {
    synthetic::run(Wish {
        seed,
        slower,
        depth: Depth::Full,
        processes: 10,
        ..Wish::default()
    })
}

#[test]
fn two_runs_of_one_commit_pass_and_none_is_faster_or_slower() {
    let gate = gate(&full(1, None), &full(2, None));
    let told: Vec<_> = gate
        .rows
        .iter()
        .filter(|row| matches!(row.verdict, Verdict::Faster | Verdict::Slower))
        .collect();
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(gate.outcome, Outcome::Pass, "{:?}", gate.reasons);
    assert_eq!(gate.outcome.exit_code(), 0);
}

#[test]
fn slowdown_of_a_tenth_in_one_lane_is_a_regression_of_a_tenth() {
    let gate = gate(&full(1, None), &full(2, Some(("threadbare", 1.10))));
    assert_eq!(gate.outcome, Outcome::Regression, "{:?}", gate.reasons);
    assert_eq!(gate.outcome.exit_code(), 1);
    let slower: Vec<_> = gate
        .rows
        .iter()
        .filter(|row| row.verdict == Verdict::Slower)
        .collect();
    assert!(
        slower.iter().all(|row| row.lane == "threadbare"),
        "{slower:?}"
    );
    let one = slower
        .iter()
        .find(|row| row.workload == "spawn.one")
        .expect("found");
    assert!((one.ratio.value - 1.10).abs() < 0.02, "{}", one.ratio.value);
    assert!(
        gate.reasons[0].starts_with("slower: "),
        "{}",
        gate.reasons[0]
    );
}

#[test]
fn host_that_drifts_between_two_runs_is_no_change_of_any_lane() {
    let (mut told_count, mut cells_count) = (0, 0);
    for seed in 1..=5 {
        let new = synthetic::run(Wish {
            seed: 100 + seed,
            drift: 0.06,
            depth: Depth::Full,
            processes: 10,
            ..Wish::default()
        });
        let gate = gate(&full(seed, None), &new);
        assert!(
            gate.reasons
                .iter()
                .any(|why| why.contains("the host changed between the runs")),
            "{:?}",
            gate.reasons
        );
        let told = |row: &&reports::change::ChangeRow| {
            matches!(row.verdict, Verdict::Faster | Verdict::Slower)
        };
        told_count += gate.rows.iter().filter(told).count();
        cells_count += gate.rows.len();
    }
    // Without the drift cells, every second cell would be called different.
    assert!(cells_count > 400, "{cells_count}");
    assert!(
        told_count * 100 <= cells_count,
        "{told_count} of {cells_count}"
    );
}

#[test]
fn lane_measured_alone_is_judged_and_the_missing_drift_cells_are_named() {
    let only_threadbare = |mut run: Run| {
        run.groups.retain(|group| group.lane == "threadbare");
        run
    };
    let (base, new) = (full(1, None), full(2, Some(("threadbare", 1.10))));
    let gate = gate(&only_threadbare(base), &only_threadbare(new));
    assert_eq!(gate.outcome, Outcome::Regression, "{:?}", gate.reasons);
    let last = gate.reasons.last().expect("reasons");
    assert!(last.contains("no other model was measured"), "{last}");
}

#[test]
fn too_few_figures_of_other_models_are_counted() {
    let with_few_figures = |mut run: Run| {
        run.groups.retain(|group| {
            group.workload == "spawn.one" && ["threadbare", "thread"].contains(&&*group.lane)
        });
        run.failures.clear();
        run
    };
    let gate = gate(
        &with_few_figures(full(1, None)),
        &with_few_figures(full(2, None)),
    );
    let last = gate.reasons.last().expect("a remark");
    assert!(last.contains(", and 4 are needed"), "{:?}", gate.reasons);
}

#[test]
fn cell_without_a_figure_in_the_new_run_is_named_with_the_reason() {
    let (base, mut new) = (full(1, None), full(2, None));
    let is_it = |group: &Group| group.workload == "spawn.one" && group.lane == "tokio";
    new.groups.retain(|group| !is_it(group));
    let gate = gate(&base, &new);
    assert_eq!(gate.missing, ["spawn.one, tokio: not measured"]);
    let last = gate
        .reasons
        .iter()
        .rfind(|why| why.starts_with("no figure"));
    assert_eq!(
        last.map(String::as_str),
        Some("no figure in the new run: spawn.one, tokio: not measured")
    );
}

#[test]
fn quick_run_is_refused() {
    let quick = synthetic::run(Wish {
        depth: Depth::Quick,
        ..Wish::default()
    });
    let gate = gate(&full(1, None), &quick);
    assert_eq!(
        (gate.outcome, gate.outcome.exit_code()),
        (Outcome::Invalid, 3)
    );
    assert!(gate.reasons[0].contains("--quick"), "{:?}", gate.reasons);
}

#[test]
fn run_beside_a_busy_program_is_refused_and_a_little_steal_is_not() {
    let tainted = |kind: &str, value: f64| {
        let mut run = full(2, None);
        let blocks: Vec<u64> = run.blocks.iter().map(|block| block.block_index).collect();
        run.taints
            .extend(blocks.into_iter().map(|block| reports::schema::Taint {
                kind: kind.into(),
                value: Some(value),
                block_index: Some(block),
                ..Default::default()
            }));
        run
    };
    let busy = gate(&full(1, None), &tainted("others", 0.5));
    assert_eq!(busy.outcome, Outcome::Invalid);
    assert!(busy.reasons[0].contains("disturbed"), "{:?}", busy.reasons);
    let quiet = gate(&full(1, None), &tainted("steal", 0.02));
    assert_eq!(quiet.outcome, Outcome::Pass, "{:?}", quiet.reasons);
}

#[test]
fn other_machine_is_refused() {
    let other = synthetic::run(Wish {
        cpu: "Other CPU",
        depth: Depth::Full,
        ..Wish::default()
    });
    let gate = gate(&full(1, None), &other);
    assert_eq!(gate.outcome, Outcome::Invalid);
    assert!(gate.reasons[0].contains("compare"), "{:?}", gate.reasons);
}

#[test]
fn run_that_was_cut_short_is_refused() {
    let mut cut = full(2, None);
    cut.end = None;
    assert_eq!(gate(&full(1, None), &cut).outcome, Outcome::Invalid);
}

#[test]
fn too_few_processes_to_rule_a_slowdown_out_are_inconclusive() {
    let mut one_process = full(2, None);
    one_process.groups.retain(|group| group.process_index == 0);
    let gate = gate(&full(1, None), &one_process);
    assert_eq!(
        (gate.outcome, gate.outcome.exit_code()),
        (Outcome::Inconclusive, 2)
    );
}

#[test]
fn two_builds_interleaved_are_paired_and_a_common_drift_cancels() {
    // The rounds differ by up to 60%, alike in both builds.
    let mut both = full(1, None);
    for group in &mut both.groups {
        let factor = 1.0 + 0.3 * (group.process_index % 3) as f64;
        for sample in &mut group.samples {
            sample.elapsed_ns = (sample.elapsed_ns as f64 * factor) as u64;
        }
    }
    let other: Vec<_> = both
        .groups
        .iter()
        .filter(|group| !group.control)
        .cloned()
        .map(|mut group| {
            let slower = if group.lane == "threadbare" {
                1.10
            } else {
                1.0
            };
            for sample in &mut group.samples {
                sample.elapsed_ns = (sample.elapsed_ns as f64 / slower) as u64;
            }
            group.lane += BASE_SUFFIX;
            group
        })
        .collect();
    both.groups.extend(other);
    let lanes: Vec<_> = both
        .header
        .lanes
        .iter()
        .cloned()
        .map(|mut lane| {
            lane.name += BASE_SUFFIX;
            lane
        })
        .collect();
    both.header.lanes.extend(lanes);
    let counters = |lane: &str, operations_count| Counters {
        workload: "spawn.one".into(),
        lane: lane.into(),
        operations_count,
        ..Counters::default()
    };
    both.counters = vec![
        counters("thread", 1),
        counters(&format!("thread{BASE_SUFFIX}"), 2),
    ];
    let [base, new] = both.sides().expect("two builds");
    assert_eq!(base.header.lanes.len(), new.header.lanes.len());
    // Each build has its own counters.
    assert_eq!(new.counters, [counters("thread", 1)]);
    assert_eq!(base.counters, [counters("thread", 2)]);
    let gate = gate(&base, &new);
    assert_eq!(gate.outcome, Outcome::Regression, "{:?}", gate.reasons);
    let of = |lane: &str| -> Vec<_> {
        let own = gate.rows.iter().filter(|row| row.lane == lane);
        own.filter(|row| row.quantity.id == "time").collect()
    };
    assert!(!of("threadbare").is_empty() && !of("thread").is_empty());
    for row in of("threadbare") {
        assert_eq!(row.verdict, Verdict::Slower, "{row:?}");
    }
    for row in of("thread") {
        assert_eq!(row.verdict, Verdict::Same, "{row:?}");
    }
    assert!(full(1, None).sides().is_none());
}

/// The run with a failure of `lane` on `spawn.one`. If `all` of its processes failed, its figures
/// there are removed.
fn with_failure(mut run: Run, lane: &str, all: bool) -> Run {
    let is_it = |group: &Group| group.workload == "spawn.one" && group.lane == lane;
    let parameters = run.groups.iter().find(|group| is_it(group));
    let parameters = parameters.expect("a group").parameters.clone();
    run.groups.retain(|group| !(all && is_it(group)));
    run.failures.push(Failure {
        workload: "spawn.one".into(),
        lane: lane.into(),
        parameters,
        kind: FailureKind::Crashed,
        message: "killed by SIGSEGV".into(),
        ..Failure::default()
    });
    run
}

#[test]
fn lane_that_crashes_in_the_new_build_is_a_regression_and_named() {
    for all in [true, false] {
        let new = with_failure(full(2, None), "thread", all);
        let gate = gate(&full(1, None), &new);
        assert_eq!(gate.outcome, Outcome::Regression, "{:?}", gate.reasons);
        let first = &gate.reasons[0];
        assert!(first.starts_with("failed: spawn.one"), "{first}");
        assert!(first.contains("thread: killed by SIGSEGV"), "{first}");
    }
}

#[test]
fn lane_that_crashed_in_both_builds_is_no_regression() {
    let [base, new] = [1, 2].map(|seed| with_failure(full(seed, None), "thread", true));
    let gate = gate(&base, &new);
    assert_eq!(gate.outcome, Outcome::Pass, "{:?}", gate.reasons);
    let named = gate.reasons.iter().filter(|why| why.contains("spawn.one"));
    assert_eq!(
        named.collect::<Vec<_>>(),
        ["failed in both runs, not compared: spawn.one, thread: killed by SIGSEGV"]
    );
}

#[test]
fn lane_that_failed_sometimes_and_now_always_is_a_regression() {
    let base = with_failure(full(1, None), "thread", false);
    for (all, outcome) in [(true, Outcome::Regression), (false, Outcome::Pass)] {
        let gate = gate(&base, &with_failure(full(2, None), "thread", all));
        assert_eq!(gate.outcome, outcome, "{:?}", gate.reasons);
    }
}

#[test]
fn cells_absent_from_the_new_run_are_inconclusive_and_named() {
    let (base, mut new) = (full(1, None), full(2, None));
    let is_gone = |group: &Group| {
        group.workload.starts_with("spawn.") && ["thread", "tokio"].contains(&&*group.lane)
    };
    let gone: BTreeSet<_> = base
        .groups
        .iter()
        .filter(|group| is_gone(group))
        .map(|group| (&group.workload, &group.parameters, &group.lane))
        .collect();
    assert!(gone.len() > 5, "{gone:?}");
    new.groups.retain(|group| !is_gone(group));
    let gate = gate(&base, &new);
    assert_eq!(gate.outcome, Outcome::Inconclusive, "{:?}", gate.reasons);
    for (workload, parameters, lane) in gone {
        let cell = match Case(parameters.clone())
            .text(base.workload(workload))
            .as_str()
        {
            "" => format!("{workload}, {lane}"),
            case => format!("{workload} ({case}), {lane}"),
        };
        let line = format!("no figure in the new run: {cell}: not measured");
        assert!(gate.reasons.contains(&line), "{line}: {:?}", gate.reasons);
        assert!(gate.missing.contains(&format!("{cell}: not measured")));
    }
}

#[test]
fn lane_not_selected_in_the_new_run_is_named_without_a_verdict() {
    let mut new = full(2, None);
    new.header.lanes.retain(|lane| lane.name != "tokio");
    new.groups.retain(|group| group.lane != "tokio");
    let gate = gate(&full(1, None), &new);
    assert_eq!(gate.outcome, Outcome::Pass, "{:?}", gate.reasons);
    let line = "no figure in the new run: spawn.one, tokio: not measured";
    assert!(
        gate.reasons.iter().any(|why| why == line),
        "{:?}",
        gate.reasons
    );
    assert!(gate.missing.iter().all(|name| name.contains(", tokio")));
}

/// The run with `bytes(group)` as the memory of all tasks of a sample on tokio.
fn with_memory(mut run: Run, bytes: impl Fn(&Group) -> i64) -> Run {
    let is_it = |group: &&mut Group| group.workload == "memory.parked" && group.lane == "tokio";
    for group in run.groups.iter_mut().filter(is_it) {
        let bytes = bytes(group);
        for memory in group
            .samples
            .iter_mut()
            .filter_map(|one| one.memory.as_mut())
        {
            (memory.anonymous_bytes, memory.kernel_stack_bytes) = (bytes, 0);
            (memory.slab_bytes, memory.page_tables_bytes) = (0, 0);
            memory.percpu_bytes = 0;
        }
    }
    run
}

#[test]
fn memory_that_was_zero_is_compared_by_its_difference() {
    // The processes differ a little, and the number of tasks does not matter.
    let fixed_memory = |group: &Group| 300_000 + (group.process_index as i64 % 3 - 1) * 900;
    let task = |group: &Group| fixed_memory(group) + 4_096 * group.parameters["tasks_count"] as i64;
    let base = || with_memory(full(1, None), fixed_memory);
    for (new, verdict, outcome) in [
        (
            with_memory(full(2, None), fixed_memory),
            Verdict::Same,
            Outcome::Pass,
        ),
        (
            with_memory(full(2, None), task),
            Verdict::Slower,
            Outcome::Regression,
        ),
    ] {
        let gate = gate(&base(), &new);
        let row = gate.rows.iter().find(|row| {
            (&*row.workload, &*row.lane, &*row.quantity.id) == ("memory.parked", "tokio", "memory")
        });
        let row = row.expect("a row");
        assert_eq!(row.verdict, verdict, "{row:?}");
        assert!(row.difference.is_some(), "{row:?}");
        assert_eq!(gate.outcome, outcome, "{:?}", gate.reasons);
    }
}
