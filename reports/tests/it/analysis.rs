//! The figures of a whole run with known true values.

use reports::analysis::Row;
use reports::schema::{FailureKind, Measure, Memory};
use reports::stats::Verdict;
use reports::{Analysis, Run};

use crate::synthetic::{self, Wish};

fn row<'a>(
    analysis: &'a Analysis,
    workload: &str,
    case: &str,
    quantity: &str,
    lane: &str,
) -> &'a Row {
    analysis
        .rows
        .iter()
        .find(|row| {
            let text = row.case.to_string().replace('\u{a0}', " ");
            row.workload == workload
                && text.contains(case)
                && row.quantity.id == quantity
                && row.lane == lane
        })
        .unwrap_or_else(|| panic!("no row {workload} {case} {quantity} {lane}"))
}

#[test]
fn figures_ratios_and_verdicts_match_the_fixture() {
    let analysis = Analysis::of(&synthetic::run(Wish::default()));
    assert_eq!(analysis.reference_lane, "thread");
    let goroutine = row(&analysis, "spawn.one", "", "time", "threadbare");
    let standing = goroutine.standing.as_ref().expect("a standing");
    assert_eq!(standing.verdict, Verdict::Faster);
    assert!(
        (standing.ratio.value - 302.0 / 25_900.0).abs() < 0.0005,
        "{}",
        standing.ratio.value
    );
    assert_eq!(goroutine.processes_count, 5);
    assert_eq!(goroutine.samples_count, 30);
    let thread = row(&analysis, "spawn.one", "", "time", "thread");
    assert_eq!(
        (
            thread.standing.as_ref(),
            thread.verdict_text("thread").as_str()
        ),
        (None, "reference")
    );
    assert_eq!(
        row(&analysis, "spawn.one", "", "time", "process")
            .standing
            .as_ref()
            .map(|s| s.verdict),
        Some(Verdict::Slower)
    );
}

#[test]
fn equal_lanes_are_same_and_so_are_the_pairs() {
    let analysis = Analysis::of(&synthetic::run(Wish::default()));
    let tokio = row(&analysis, "cpu.primes", "1 worker", "time", "tokio");
    assert_eq!(
        tokio.standing.as_ref().map(|s| s.verdict),
        Some(Verdict::Same)
    );
    assert!(!analysis.noise.pairs.is_empty());
    let typical = analysis.noise.typical().expect("pairs");
    assert!(typical < 0.03, "{typical}");
    assert_eq!(
        analysis.noise.called_different().0,
        0,
        "{:?}",
        analysis.noise
    );
    let inflation = analysis.noise.inflation("spawn.one", &tokio.quantity);
    assert!((1.0..1.3).contains(&inflation), "{inflation}");
    assert!(
        analysis
            .rows
            .iter()
            .all(|row| row.estimate.is_some() || row.absence.is_some())
    );
}

#[test]
fn ledger_of_a_thread_explains_what_it_costs() {
    let analysis = Analysis::of(&synthetic::run(Wish::default()));
    let thread = analysis
        .ledgers
        .iter()
        .find(|row| row.lane == "thread" && row.workload == "memory.parked")
        .expect("a ledger");
    let closure = thread.ledger.check().closure_ratio.expect("closure");
    assert!((0.98..1.01).contains(&closure), "{closure}");
    assert_eq!(thread.ledger.distinct_count, 5);
    let memory = row(&analysis, "memory.parked", "", "memory", "threadbare");
    assert_eq!(
        memory.standing.as_ref().map(|s| s.verdict),
        Some(Verdict::Faster)
    );
    assert_eq!(memory.verdict_text("thread"), "smaller");
}

#[test]
fn scaling_law_is_found_from_eight_points() {
    let analysis = Analysis::of(&synthetic::run(Wish::default()));
    let curve = analysis
        .curves
        .iter()
        .find(|curve| curve.lane == "process")
        .expect("a curve");
    let usl = curve.usl.as_ref().expect("a fit");
    assert!(
        (usl.contention.value - 0.05).abs() < 0.02,
        "{:?}",
        usl.contention
    );
    assert!((curve.points[0].speedup.value - 1.0).abs() < 1e-12);
}

#[test]
fn work_that_grows_with_the_workers_has_an_efficiency_and_no_law() {
    let mut run = synthetic::run(Wish::default());
    // The same figures, as if each worker did its own part of a larger run.
    for group in &mut run.groups {
        let Some(&workers) = group.parameters.get("workers_count") else {
            continue;
        };
        for sample in &mut group.samples {
            sample.operations_count *= workers;
            sample.elapsed_ns *= workers;
        }
    }
    let curve_of = |run: &Run| {
        let analysis = Analysis::of(run);
        let mut curves = analysis.curves.into_iter();
        curves
            .find(|curve| curve.lane == "threadbare")
            .expect("one")
    };
    let (weak, strong) = (curve_of(&run), curve_of(&synthetic::run(Wish::default())));
    assert!(weak.is_weak && !strong.is_weak);
    assert!(weak.usl.is_err() && strong.usl.is_ok());
    let last = weak.points.last().expect("points");
    assert!(
        (0.5..1.0).contains(&last.efficiency.value),
        "{:?}",
        last.efficiency
    );
}

#[test]
fn efficiency_of_growing_work_is_the_time_of_fewest_workers_over_the_time() {
    let mut run = synthetic::run(Wish::default());
    for workload in &mut run.header.workloads {
        if workload.id == "cpu.primes" {
            workload.measures = vec![Measure::Efficiency, Measure::Time];
        }
    }
    // The fewest workers are now more than one, which must not matter.
    run.groups
        .retain(|group| group.parameters.get("workers_count") != Some(&1));
    let analysis = Analysis::of(&run);
    let mut curves = analysis.curves.iter();
    let curve = curves.find(|curve| curve.lane == "process").expect("one");
    assert!(curve.is_weak && curve.amdahl.is_err() && curve.usl.is_err());
    let first = &curve.points[0];
    assert!(first.workers > 1, "{first:?}");
    for point in &curve.points {
        let ratio = first.time_ns.value / point.time_ns.value;
        let speedup = ratio * point.workers as f64;
        assert!(
            (point.efficiency.value / ratio - 1.0).abs() < 0.05,
            "{point:?}"
        );
        assert!(
            (point.speedup.value / speedup - 1.0).abs() < 0.05,
            "{point:?}"
        );
    }
}

#[test]
fn memory_that_may_be_zero_is_an_upper_bound_and_compared_by_difference() {
    let mut run = synthetic::run(Wish::default());
    for group in &mut run.groups {
        if group.workload != "memory.parked" || group.lane != "threadbare" {
            continue;
        }
        for (place, sample) in group.samples.iter_mut().enumerate() {
            if let Some(memory) = &mut sample.memory {
                let noise = (group.process_index + place as u64) % 2;
                *memory = Memory {
                    tasks_count: memory.tasks_count,
                    anonymous_bytes: 1_000 * noise as i64 - 500,
                    ..Memory::default()
                };
            }
        }
    }
    let analysis = Analysis::of(&run);
    let near_zero = row(&analysis, "memory.parked", "", "memory", "threadbare");
    let estimate = near_zero.estimate.expect("readings");
    let high = estimate.interval.expect("readings").high;
    let text = format!("at most {}", near_zero.quantity.unit.text(high));
    assert_eq!(near_zero.value_text(), text, "{estimate:?}");
    let standing = near_zero.standing.as_ref().expect("a standing");
    let difference = standing.difference.expect("a difference");
    assert!(difference.value < 0.0 && difference.interval.is_some());
    assert_eq!(standing.verdict, Verdict::Faster, "{standing:?}");
}

#[test]
fn wild_pair_widens_its_own_workload_and_hardly_another() {
    let mut run = synthetic::run(Wish::default());
    let width = |run: &Run, workload: &str, case: &str| {
        let analysis = Analysis::of(run);
        let tokio = row(&analysis, workload, case, "time", "tokio");
        let ratio = tokio.standing.as_ref().expect("a standing").ratio;
        reports::stats::shift::half_width(&ratio).expect("an interval")
    };
    let before = [
        width(&run, "spawn.one", ""),
        width(&run, "cpu.primes", "1 worker"),
    ];
    let mut tripled_count = 0;
    for group in &mut run.groups {
        if group.control && group.workload == "spawn.one" {
            tripled_count += 1;
            for sample in &mut group.samples {
                sample.elapsed_ns *= 3;
            }
        }
    }
    assert!(tripled_count > 0, "there is a pair");
    let after = [
        width(&run, "spawn.one", ""),
        width(&run, "cpu.primes", "1 worker"),
    ];
    assert!(after[0] > 3.0 * before[0], "{before:?} {after:?}");
    assert!(after[1] < 1.5 * before[1], "{before:?} {after:?}");
}

#[test]
fn interval_of_five_processes_says_that_it_is_all_of_them() {
    let analysis = Analysis::of(&synthetic::run(Wish::default()));
    let text = row(&analysis, "spawn.one", "", "time", "thread").interval_text();
    assert!(text.ends_with("(all of 5)"), "{text}");
    let wish = Wish {
        processes: 6,
        ..Wish::default()
    };
    let analysis = Analysis::of(&synthetic::run(wish));
    let text = row(&analysis, "spawn.one", "", "time", "thread").interval_text();
    assert!(!text.contains("all of"), "{text}");
}

#[test]
fn missing_cells_say_why() {
    let analysis = Analysis::of(&synthetic::run(Wish::default()));
    let absent = row(&analysis, "switch.pingpong", "", "time", "rayon");
    let absence = absent.absence.as_ref().expect("a reason");
    assert_eq!(absence.kind, FailureKind::NotSupported);
    assert!(absent.verdict_text("thread").contains("cannot wait"));
    let limit = row(&analysis, "io.sleepers", "100,000 tasks", "time", "thread");
    assert_eq!(
        limit.absence.as_ref().map(|a| a.kind),
        Some(FailureKind::Limit)
    );
}

#[test]
fn same_run_gives_the_same_figures() {
    let run = synthetic::run(Wish::default());
    let text = |run| serde_json::to_string(&Analysis::of(run)).expect("JSON");
    assert_eq!(text(&run), text(&run));
}

#[test]
fn run_with_nothing_in_it_has_no_figures_and_no_panic() {
    assert!(Analysis::of(&Run::default()).rows.is_empty());
}
