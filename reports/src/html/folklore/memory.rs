//! Claims about what a task occupies.

use super::{Finding, GOROUTINE, ledger, sentence};
use crate::format;
use crate::html::view::{View, capital};
use crate::schema::FailureKind;

pub(super) fn starts_small(view: &View<'_>) -> Option<(Finding, String)> {
    let mut evidence = Vec::new();
    let mut holds = None;
    for lane in [GOROUTINE, "go"] {
        let Some(row) = ledger(view, "memory.parked", lane) else {
            continue;
        };
        let user = row.ledger.parts.first()?.1.value;
        let total = row.ledger.available.value;
        holds.get_or_insert(user < 4_096.0);
        evidence.push(format!(
            "{} that waits holds {} of user pages, {} in all",
            view.a_task(lane),
            format::bytes(user),
            format::bytes(total)
        ));
    }
    let finding = Finding::holds_if(holds?);
    Some((
        finding,
        format!(
            "{} Its own record and the allocator’s share come on top of the stack.",
            capital(&sentence(&evidence))
        ),
    ))
}

pub(super) fn thread_stack(view: &View<'_>) -> Option<(Finding, String)> {
    let ledger = &ledger(view, "memory.parked", "thread")?.ledger;
    let parts: Vec<String> = ledger
        .parts
        .iter()
        .filter(|(_, estimate)| estimate.value.abs() >= 1.0)
        .map(|(part, estimate)| format!("{} {}", part.title(), format::bytes(estimate.value)))
        .collect();
    let finding = if ledger.available.value > 12_000.0 {
        Finding::Fails
    } else {
        Finding::Holds
    };
    Some((
        finding,
        format!(
            "A waiting thread costs this host {}: {}. Its stack reserves {} of address space, of which only touched pages are real; the kernel’s stack is another one.",
            format::bytes(ledger.available.value),
            parts.join(", "),
            format::bytes(ledger.virtual_bytes)
        ),
    ))
}

pub(super) fn many_threads(view: &View<'_>) -> Option<(Finding, String)> {
    let ledger = &ledger(view, "memory.parked", "thread")?.ledger;
    let threads = view.run.header.host.machine.threads_count.max(1);
    let limit = view
        .run
        .failures
        .iter()
        .find(|failure| failure.lane == "thread" && failure.kind == FailureKind::Limit);
    let limit = limit.map_or_else(String::new, |failure| {
        format!(" Where it did end: {}.", failure.message)
    });
    let finding = if ledger.largest_count > u64::from(threads) {
        Finding::Fails
    } else {
        Finding::Open
    };
    Some((
        finding,
        format!(
            "{} threads waited at once on {} hardware threads. What runs at one moment is limited by the cores, what exists is not.{limit}",
            format::count(ledger.largest_count),
            threads
        ),
    ))
}

pub(super) fn shrink(view: &View<'_>) -> Option<(Finding, String)> {
    let share = |lane: &str| {
        let deep = deepest(view, lane)?;
        let after = ledger(view, "memory.shrink", lane)?.ledger.available.value;
        // Less than nothing is noise, and says nothing of a share.
        (deep > 0.0 && after > 0.0).then_some((deep, after))
    };
    let (deep, after) = share(GOROUTINE)?;
    let mut evidence = format!(
        "A goroutine deep in its stack costs {}, and {} once it is back up and waits",
        format::bytes(deep),
        format::bytes(after)
    );
    let mut finding = Finding::holds_if(after < 0.7 * deep);
    if let Some((deep, after)) = share("thread") {
        evidence.push_str(&format!(
            "; a thread {} and {}",
            format::bytes(deep),
            format::bytes(after)
        ));
        if after < 0.7 * deep {
            finding = Finding::Partly;
        }
    }
    Some((finding, format!("{evidence}.")))
}

/// The memory of a task as deep in its stack as was measured.
fn deepest(view: &View<'_>, lane: &str) -> Option<f64> {
    let mut rows = view.analysis.ledgers.iter();
    rows.rfind(|row| row.workload == "memory.deep" && row.lane == lane)
        .map(|row| row.ledger.available.value)
}
