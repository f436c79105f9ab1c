//! Claims about who runs when.

use super::{Finding, GOROUTINE, metric, name, row, sentence};
use crate::analysis::Row;
use crate::format;
use crate::html::view::View;

pub(super) fn blocked(view: &View<'_>) -> Option<(Finding, String)> {
    let row = row(view, "io.sleepers", GOROUTINE)?;
    let tasks = *row.case.0.get("tasks_count")?;
    let wall = row.estimate?.value * tasks as f64;
    let cpus = view
        .run
        .lane(GOROUTINE)
        .map_or(1, |lane| lane.cpus_count.max(1));
    // If each sleep held a thread, so many at a time would be all.
    let sleep = *row.case.0.get("sleep_ns")? as f64;
    let in_turn = sleep * tasks as f64 / f64::from(cpus);
    let finding = Finding::holds_if(wall < in_turn / 2.0);
    Some((
        finding,
        format!(
            "{} goroutines slept for {} at once and were done after {}; one after another on {cpus} CPUs they would have taken {}.",
            format::count(tasks),
            format::nanoseconds(sleep),
            format::nanoseconds(wall),
            format::nanoseconds(in_turn)
        ),
    ))
}

pub(super) fn stealing(view: &View<'_>) -> Option<(Finding, String)> {
    let rows = view.analysis.rows.iter();
    let (row, share) = rows
        .filter(|row| row.lane == GOROUTINE && row.quantity.id == "stolen_ratio")
        .filter_map(|row| Some((row, row.estimate?.value)))
        .next_back()?;
    // Half, rounded up, is more than half of short queues, and all of one.
    let finding = match share {
        0.45..0.67 => Finding::Holds,
        0.67.. => Finding::Partly,
        _ => Finding::Fails,
    };
    let why = match finding {
        Finding::Fails => "",
        _ => ": half, rounded up, which of a queue of one is all",
    };
    Some((
        finding,
        format!(
            "In {}, a P that ran out of work took {} of the goroutines in the queue that it found{why}.",
            name(view, &row.workload),
            row.value_text()
        ),
    ))
}

pub(super) fn preemption(view: &View<'_>) -> Option<(Finding, String)> {
    /// One time slice of 10 ms, and as much again until the sleeper's turn.
    const LATEST_NS: f64 = 30e6;
    const GOROUTINES: [&str; 3] = [GOROUTINE, "goroutine-migrating", "go"];
    let mut evidence = Vec::new();
    let mut in_time = Vec::new();
    for lane in GOROUTINES.into_iter().chain(["thread", "tokio"]) {
        let Some(row) = metric(view, "switch.hog", lane, "worst_delay_ns") else {
            continue;
        };
        let value = row.estimate?.value;
        if GOROUTINES.contains(&lane) {
            in_time.push(value < LATEST_NS);
        }
        evidence.push(format!("{} {}", view.noun(lane), row.value_text()));
    }
    Some((
        Finding::of_several(&in_time)?,
        format!(
            "By how much a sleep is exceeded at worst, beside tasks that never let go: {} With preemption after 10 ms that is below {}.",
            sentence(&evidence),
            format::nanoseconds(LATEST_NS)
        ),
    ))
}

pub(super) fn one_core(view: &View<'_>) -> Option<(Finding, String)> {
    let curves = view.analysis.curves.iter();
    let curve = curves
        .filter(|curve| curve.lane == GOROUTINE && !curve.is_weak)
        .find(|curve| curve.points.iter().any(|point| point.workers == 1))?;
    let turns = on_one_cpu(view)?;
    let alone = view.analysis.rows.iter().find(|row| {
        let workers = row.case.0.get("workers_count");
        let is_it = row.workload == curve.workload && row.lane == GOROUTINE;
        is_it && workers == Some(&1) && row.quantity.id == "time" && row.estimate.is_some()
    })?;
    let busy = alone.cpu_ns? / alone.estimate?.value;
    let finding = Finding::holds_if(busy < 1.1);
    let more = match curve.points.last() {
        Some(last) if last.workers > 1 => format!(
            " With {} workers it was {} as fast.",
            last.workers,
            format::times(last.speedup.value)
        ),
        _ => String::new(),
    };
    Some((
        finding,
        format!(
            "On one CPU two goroutines took turns, a round trip in {}: both went on. But {} by one worker used {} CPUs however many goroutines there were.{more}",
            turns.value_text(),
            name(view, &curve.workload),
            format::number(busy)
        ),
    ))
}

/// A round trip of two goroutines that shared one CPU.
fn on_one_cpu<'a>(view: &View<'a>) -> Option<&'a Row> {
    let alone = view.run.header.design.cpus.len() == 1;
    view.analysis.rows.iter().find(|row| {
        let one_worker = row.case.0.get("workers_count") == Some(&1);
        let is_shared = row.workload == "switch.roundtrip" && one_worker
            || row.workload == "switch.pingpong" && alone;
        let is_first = row.quantity.rank == 0 && row.estimate.is_some();
        row.lane == GOROUTINE && is_shared && is_first
    })
}

pub(super) fn quota(view: &View<'_>) -> Option<(Finding, String)> {
    let throttled = view
        .run
        .taints
        .iter()
        .find(|taint| taint.kind == "throttling")?;
    // That a quota holds threads back is what makes people say it; whether
    // fewer threads would have gained anything is another run's answer.
    Some((
        Finding::Partly,
        format!(
            "This run was throttled by its quota: {}. So the quota does hold back who has more CPUs in sight than it pays for; a run with fewer of them (--cpus) says whether that gains anything.",
            throttled.message
        ),
    ))
}
