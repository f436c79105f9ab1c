//! Claims about costs.

use std::collections::BTreeMap;

use super::{Finding, GO, OURS, metric, name, row, sentence};
use crate::analysis::Row;
use crate::format;
use crate::html::view::View;
use crate::schema::{Parameters, Role};
use crate::stats::Verdict;

/// Whether goroutines cost less than threads in each workload with `role`.
pub(super) fn goroutine_against(view: &View<'_>, role: Role) -> Option<(Finding, String)> {
    let rows = view
        .with_role(role)
        .map(|workload| [GO, OURS, "thread"].map(|lane| row(view, workload, lane)));
    less_than_thread(view, rows.collect())
}

pub(super) fn destroy(view: &View<'_>) -> Option<(Finding, String)> {
    let rows = [GO, OURS, "thread"].map(|lane| metric(view, Role::StartAndEnd, lane, "finish_ns"));
    let (finding, evidence) = less_than_thread(view, vec![rows])?;
    let remark = "This is the time from the end of the task’s own code to the end of the join.";
    Some((finding, format!("{evidence} {remark}")))
}

/// Each line has the rows of Go, of our runtime and of the thread.
fn less_than_thread(view: &View<'_>, lines: Vec<[Option<&Row>; 3]>) -> Option<(Finding, String)> {
    let judged = |lane: usize| {
        let pairs: Vec<(&Row, &Row)> = lines
            .iter()
            .filter_map(|rows| rows[lane].zip(rows[2]))
            .collect();
        let judged = view.analysis.judge(&pairs);
        let found = pairs.into_iter().zip(judged);
        found
            .filter_map(|((row, thread), judged)| Some((row, thread, judged?)))
            .collect::<Vec<_>>()
    };
    let mut evidence = Vec::new();
    for (row, thread, (ratio, _)) in judged(0).into_iter().chain(judged(1)) {
        evidence.push(format!(
            "{}: {} {}, {} {}, {} as much",
            name(view, &row.workload),
            view.noun(&row.lane),
            row.value_text(),
            view.noun(&thread.lane),
            thread.value_text(),
            format::times(1.0 / ratio.value)
        ));
    }
    let found: Vec<Finding> = judged(0)
        .into_iter()
        .map(|(_, _, (_, verdict))| Finding::of_verdict(verdict))
        .collect();
    (!evidence.is_empty()).then(|| (Finding::of_several(&found), sentence(&evidence)))
}

pub(super) fn process_switch(view: &View<'_>) -> Option<(Finding, String)> {
    /// A smaller ratio is not called slow.
    const SLOW_RATIO: f64 = 1.25;
    let pairs: Vec<(&Row, &Row)> = view
        .with_role(Role::ProcessSwitch)
        .filter_map(|workload| row(view, workload, "process").zip(row(view, workload, "thread")))
        .collect();
    let mut evidence = Vec::new();
    let mut found = Vec::new();
    for ((process, thread), judged) in pairs.iter().zip(view.analysis.judge(&pairs)) {
        let Some((ratio, verdict)) = judged else {
            continue;
        };
        found.push(match verdict {
            Verdict::Slower if ratio.value > SLOW_RATIO => Finding::Holds,
            Verdict::CannotTell => Finding::Open,
            _ => Finding::Fails,
        });
        evidence.push(format!(
            "{}: thread {}, process {}, {} as much",
            name(view, &process.workload),
            thread.value_text(),
            process.value_text(),
            format::times(ratio.value)
        ));
    }
    if evidence.is_empty() {
        return None;
    }
    let finding = Finding::of_several(&found);
    let remark = "The claim is checked against a switch between threads. Both go through the kernel; a switch between processes also changes the address space.";
    Some((finding, format!("{} {remark}", sentence(&evidence))))
}

pub(super) fn channels(view: &View<'_>) -> Option<(Finding, String)> {
    let lanes = [GO, OURS].map(|lane| counters(view, lane));
    let mut evidence = Vec::new();
    for (lane, found) in [GO, OURS].into_iter().zip(&lanes) {
        let Some((atomic, mutex, channel)) = found else {
            continue;
        };
        let atomic = atomic.map_or_else(String::new, |row| {
            format!(", by an atomic {}", row.value_text())
        });
        evidence.push(format!(
            "{} {} by a channel to its owner, {} by a mutex{atomic}",
            view.noun(lane),
            channel.value_text(),
            mutex.value_text()
        ));
    }
    let pair = lanes[0].map(|(_, mutex, channel)| (channel, mutex));
    let judged = pair.and_then(|pair| view.analysis.judge(&[pair]).pop()?);
    let (finding, remark) = match judged.map(|(_, verdict)| verdict) {
        Some(Verdict::Faster) => (Finding::Holds, "it also holds for the cost here"),
        Some(Verdict::Slower) => (
            Finding::Fails,
            "it does not hold for the cost of adding to one number",
        ),
        Some(Verdict::Same) => (Finding::Fails, "they cost the same here"),
        Some(Verdict::CannotTell) => (
            Finding::Open,
            "it is too noisy to say which costs less here",
        ),
        None => (Finding::NotMeasured, "this run did not measure it on Go"),
    };
    (!evidence.is_empty()).then(|| {
        let costs = sentence(&evidence);
        (
            finding,
            format!("What an addition to a shared counter costs: {costs} The advice is about clarity; {remark}."),
        )
    })
}

/// A lane's counter with an atomic, a mutex and a channel, with the same number of tasks.
fn counters<'a>(view: &View<'a>, lane: &str) -> Option<(Option<&'a Row>, &'a Row, &'a Row)> {
    let cases = view.first_rows(view.with_role(Role::Counter).next()?);
    let mut found: BTreeMap<Parameters, [Option<&Row>; 3]> = BTreeMap::new();
    for (case, rows) in cases {
        let mut counts = case.0.clone();
        let means = counts.remove("means");
        let place = means.and_then(|means| usize::try_from(means).ok());
        let of_counts = found.entry(counts).or_default();
        if let Some(place) = place.and_then(|means| of_counts.get_mut(means)) {
            *place = rows.into_iter().find(|row| row.lane == lane);
        }
    }
    let mut most_first = found.into_values().rev();
    most_first.find_map(|[atomic, mutex, channel]| Some((atomic, mutex?, channel?)))
}
