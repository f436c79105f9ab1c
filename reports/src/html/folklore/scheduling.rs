//! Claims about which task runs when.

use super::{Finding, GO, OURS, metric, name, sentence};
use crate::analysis::Row;
use crate::format;
use crate::html::view::View;
use crate::schema::{Role, Workload};

pub(super) fn blocked(view: &View<'_>) -> Option<(Finding, String)> {
    let mut finding = Finding::NotMeasured;
    let mut evidence = Vec::new();
    for lane in [GO, OURS] {
        // The main figure is the time beyond the sleep.
        let Some(row) = metric(view, Role::Sleep, lane, "time") else {
            continue;
        };
        let (Some(took), Some(&tasks), Some(&sleep)) = (
            row.estimate,
            row.case.0.get("tasks_count"),
            row.case.0.get("sleep_ns"),
        ) else {
            continue;
        };
        let cpus = view.run.lane(lane).map_or(1, |lane| lane.cpus_count.max(1));
        // The time of a task if each sleep blocked one of `cpus` threads.
        let in_turn = sleep as f64 / f64::from(cpus);
        if lane == GO {
            finding = Finding::below(took, in_turn / 2.0);
        }
        evidence.push(format!(
            "{} {}s slept for {} at the same time and were done after {}; if each had blocked one of {cpus} CPUs, they would have taken {}",
            format::count(tasks),
            view.noun(lane),
            format::nanoseconds(sleep as f64),
            format::nanoseconds(took.value * tasks as f64),
            format::nanoseconds(in_turn * tasks as f64)
        ));
    }
    (!evidence.is_empty()).then(|| (finding, sentence(&evidence)))
}

pub(super) fn stealing(view: &View<'_>) -> Option<(Finding, String)> {
    let rows = view.analysis.rows.iter();
    let row = rows
        .filter(|row| row.lane == OURS && row.quantity.id == "stolen_ratio")
        .rfind(|row| row.estimate.is_some())?;
    Some((
        Finding::NotMeasured,
        format!(
            "Go does not count this. In this project’s runtime, on {}, an idle P took {} of the queue that it stole from. It takes half, rounded up, so a queue of one is taken whole.",
            name(view, &row.workload),
            row.value_text()
        ),
    ))
}

pub(super) fn preemption(view: &View<'_>) -> Option<(Finding, String)> {
    /// Three time slices of 10 ms: before the preemption, before the sleeper's turn, and a margin.
    const LATEST_NS: f64 = 30e6;
    let mut evidence = Vec::new();
    let mut finding = Finding::NotMeasured;
    for lane in [GO, OURS, "threadbare-migrating", "thread", "tokio"] {
        let Some(row) = metric(view, Role::Hog, lane, "worst_delay_ns") else {
            continue;
        };
        if lane == GO {
            finding = Finding::below(row.estimate?, LATEST_NS);
        }
        evidence.push(format!("{} {}", view.noun(lane), row.value_text()));
    }
    (!evidence.is_empty()).then(|| {
        let delays = sentence(&evidence);
        (
            finding,
            format!(
                "The largest delay of a clock tick beside tasks that never yield: {delays} With preemption after 10 ms it stays below {}.",
                format::nanoseconds(LATEST_NS)
            ),
        )
    })
}

pub(super) fn one_core(view: &View<'_>) -> Option<(Finding, String)> {
    let mut finding = Finding::NotMeasured;
    let mut evidence = Vec::new();
    for lane in [GO, OURS] {
        if let Some((found, text)) = one_core_of(view, lane) {
            if lane == GO {
                finding = found;
            }
            evidence.push(text);
        }
    }
    (!evidence.is_empty()).then(|| (finding, sentence(&evidence)))
}

fn one_core_of(view: &View<'_>, lane: &str) -> Option<(Finding, String)> {
    let curves = view.analysis.curves.iter();
    let curve = curves
        .filter(|curve| curve.lane == lane && !curve.is_weak)
        .find(|curve| curve.points.iter().any(|point| point.workers == 1))?;
    let round_trip = on_one_cpu(view, lane)?;
    let alone = view.analysis.rows.iter().find(|row| {
        let workers = row.case.0.get("workers_count");
        let is_it = row.workload == curve.workload && row.lane == lane;
        is_it && workers == Some(&1) && row.quantity.id == "time" && row.estimate.is_some()
    })?;
    let cpus_used = alone.cpu_ns? / alone.estimate?.value;
    let finding = match cpus_used < 1.1 {
        true => Finding::Holds,
        false => Finding::Fails,
    };
    let more = match curve.points.last() {
        Some(last) if last.workers > 1 => format!(
            ", and with {} workers it was {} as fast",
            last.workers,
            format::times(last.speedup.value)
        ),
        _ => String::new(),
    };
    Some((
        finding,
        format!(
            "{}: two on one CPU made a round trip in {}, and {} with one worker used {} CPUs{more}",
            view.noun(lane),
            round_trip.value_text(),
            name(view, &curve.workload),
            format::number(cpus_used)
        ),
    ))
}

fn on_one_cpu<'a>(view: &View<'a>, lane: &str) -> Option<&'a Row> {
    let alone = view.run.header.design.cpus.len() == 1;
    view.analysis.rows.iter().find(|row| {
        let one_worker = row.case.0.get("workers_count") == Some(&1);
        let is_shared = |workload: &Workload| {
            let has = |role| workload.roles.contains(&role);
            has(Role::RoundTripByCpus) && one_worker || has(Role::RoundTrip) && alone
        };
        let is_shared = view.run.workload(&row.workload).is_some_and(is_shared);
        let is_first = row.quantity.rank == 0 && row.estimate.is_some();
        row.lane == lane && is_shared && is_first
    })
}

pub(super) fn quota(view: &View<'_>) -> Option<(Finding, String)> {
    let throttled = view
        .run
        .taints
        .iter()
        .find(|taint| taint.kind == "throttling")?;
    // Another run must show whether fewer threads would be faster.
    Some((
        Finding::Partly,
        format!(
            "This run was throttled by its quota: {}. So the quota slows a program that uses more CPUs than it allows; a run with fewer CPUs (--cpus) shows whether that helps.",
            throttled.message
        ),
    ))
}
