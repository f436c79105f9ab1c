//! Claims about what is cheap and what is slow.

use super::{Finding, GOROUTINE, metric, name, row, sentence};
use crate::analysis::Row;
use crate::format;
use crate::html::view::{View, effect};
use crate::stats::Verdict;

pub(super) fn goroutine_against(
    view: &View<'_>,
    other: &str,
    workloads: &[&str],
) -> Option<(Finding, String)> {
    let mut evidence = Vec::new();
    let (mut better, mut worse, mut open) = (0, 0, 0);
    for workload in workloads {
        let Some((ours, theirs, ratio, apart)) = pair(view, workload, GOROUTINE, other) else {
            continue;
        };
        let standing = effect(ours)
            .filter(|_| view.analysis.reference_lane == other)
            .map(|(_, verdict)| verdict);
        match standing {
            Some(Verdict::Faster) => better += 1,
            Some(Verdict::Slower) => worse += 1,
            Some(_) => open += 1,
            None if apart && ratio < 1.0 => better += 1,
            None if apart => worse += 1,
            None => open += 1,
        }
        evidence.push(format!(
            "{}: goroutine {}, {other} {}, {} as much",
            name(view, workload),
            ours.value_text(),
            theirs.value_text(),
            format::times(1.0 / ratio)
        ));
    }
    if evidence.is_empty() {
        return None;
    }
    let finding = match (better, worse, open) {
        (1.., 0, 0) => Finding::Holds,
        (0, 1.., 0) => Finding::Fails,
        (0, 0, _) => Finding::Open,
        _ => Finding::Partly,
    };
    Some((finding, sentence(&evidence)))
}

pub(super) fn destroy(view: &View<'_>) -> Option<(Finding, String)> {
    let ours = metric(view, "spawn.first_instruction", GOROUTINE, "finish_ns")?;
    let theirs = metric(view, "spawn.first_instruction", "thread", "finish_ns")?;
    let (a, b) = (ours.estimate?, theirs.estimate?);
    let finding = match (a.interval, b.interval) {
        (Some(a), Some(b)) if a.high < b.low => Finding::Holds,
        (Some(a), Some(b)) if b.high < a.low => Finding::Fails,
        _ => Finding::Open,
    };
    Some((
        finding,
        format!(
            "From the body’s last instruction to the end of the join: goroutine {}, thread {}.",
            ours.value_text(),
            theirs.value_text()
        ),
    ))
}

pub(super) fn process_switch(view: &View<'_>) -> Option<(Finding, String)> {
    /// What is less is not worth the word slow.
    const SLOW_RATIO: f64 = 1.25;
    let mut evidence = Vec::new();
    let (mut slow, mut open) = (Vec::new(), 0);
    for workload in ["switch.pipe", "switch.pingpong", "switch.yield"] {
        if let Some((process, thread, ratio, apart)) = pair(view, workload, "process", "thread") {
            match apart {
                true => slow.push(ratio > SLOW_RATIO),
                false => open += 1,
            }
            evidence.push(format!(
                "{}: thread {}, process {}, {} as much",
                name(view, workload),
                thread.value_text(),
                process.value_text(),
                format::times(ratio)
            ));
        }
    }
    if evidence.is_empty() {
        return None;
    }
    let finding = match Finding::of_several(&slow) {
        None => Finding::Open,
        Some(Finding::Holds) if open > 0 => Finding::Partly,
        Some(Finding::Fails) if open > 0 => Finding::Open,
        Some(finding) => finding,
    };
    let remark = "It is held against a switch between threads: both go through the kernel, a process to another address space besides.";
    Some((finding, format!("{} {remark}", sentence(&evidence))))
}

pub(super) fn channels(view: &View<'_>) -> Option<(Finding, String)> {
    let cases = view.first_rows(view.run.workload("share.counter")?);
    let mut found: [Option<&Row>; 3] = [None; 3];
    for (case, rows) in cases {
        let Some(&means) = case.0.get("means") else {
            continue;
        };
        let place = found.get_mut(usize::try_from(means).ok()?)?;
        *place = place.or_else(|| rows.into_iter().find(|row| row.lane == GOROUTINE));
    }
    let [atomic, mutex, channel] = found;
    let (mutex, channel) = (mutex?, channel?);
    let (a, b) = (channel.estimate?, mutex.estimate?);
    let (finding, remark) = match (a.interval, b.interval) {
        (Some(a), Some(b)) if a.low > b.high => (
            Finding::Fails,
            "for the cost of a single number it does not hold",
        ),
        (Some(a), Some(b)) if a.high < b.low => {
            (Finding::Holds, "here it holds for the cost as well")
        }
        _ => (Finding::Open, "their costs cannot be told apart here"),
    };
    let atomic = atomic.map_or_else(String::new, |row| {
        format!(", by an atomic {}", row.value_text())
    });
    Some((
        finding,
        format!(
            "An addition to a shared counter costs {} by a channel to its owner, {} by a mutex{atomic}. The advice is about clarity; {remark}.",
            channel.value_text(),
            mutex.value_text()
        ),
    ))
}

/// A ratio of two lanes of one case by their figures alone, and whether
/// their intervals are apart.
fn pair<'a>(
    view: &View<'a>,
    workload: &str,
    ours: &str,
    theirs: &str,
) -> Option<(&'a Row, &'a Row, f64, bool)> {
    let ours = row(view, workload, ours)?;
    let theirs = row(view, workload, theirs)?;
    let (a, b) = (ours.estimate?, theirs.estimate?);
    let apart = match (a.interval, b.interval) {
        (Some(a), Some(b)) => a.high < b.low || b.high < a.low,
        _ => false,
    };
    (b.value > 0.0).then_some((ours, theirs, a.value / b.value, apart))
}
