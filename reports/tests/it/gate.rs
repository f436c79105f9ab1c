//! The gate, with slowdowns put in on purpose.

use reports::Run;
use reports::gate::{Outcome, gate};
use reports::schema::Depth;
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
    let gate = gate(&full(1, None), &full(2, Some(("goroutine", 1.10))));
    assert_eq!(gate.outcome, Outcome::Regression, "{:?}", gate.reasons);
    assert_eq!(gate.outcome.exit_code(), 1);
    let slower: Vec<_> = gate
        .rows
        .iter()
        .filter(|row| row.verdict == Verdict::Slower)
        .collect();
    assert!(
        slower.iter().all(|row| row.lane == "goroutine"),
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
    let mut thin = full(2, None);
    thin.groups.retain(|group| group.process_index == 0);
    let gate = gate(&full(1, None), &thin);
    assert_eq!(
        (gate.outcome, gate.outcome.exit_code()),
        (Outcome::Inconclusive, 2)
    );
}
