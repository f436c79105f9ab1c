//! Claims about what a task occupies.

use super::{Finding, GOROUTINE, ledger, sentence};
use crate::format;
use crate::html::view::{View, capital};
use crate::schema::FailureKind;

pub(super) fn starts_small(view: &View<'_>) -> Option<(Finding, String)> {
    /// A stack of 2 KiB and the record beside it touch no more than a page.
    const PAGE_BYTES: f64 = 4_096.0;
    let mut evidence = Vec::new();
    let mut small = Vec::new();
    for lane in [GOROUTINE, "go"] {
        let Some(row) = ledger(view, "memory.parked", lane) else {
            continue;
        };
        let user = row.ledger.parts.first()?.1.value;
        let total = row.ledger.available.value;
        small.push(user < PAGE_BYTES);
        evidence.push(format!(
            "{} that waits holds {} of user pages, {} in all",
            view.a_task(lane),
            format::bytes(user),
            format::bytes(total)
        ));
    }
    Some((
        Finding::of_several(&small)?,
        format!(
            "{} The stack is a part of that: the task’s own record, the allocator’s share and what its code touched are the rest.",
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
    /// What 8 KB and a half of it would be.
    const MOST_BYTES: f64 = 12_000.0;
    let together: f64 = ledger.parts.iter().map(|(_, part)| part.value).sum();
    let finding = [together, ledger.available.value].map(|bytes| bytes <= MOST_BYTES);
    Some((
        Finding::of_several(&finding)?,
        format!(
            "A waiting thread takes {}, {} together; the host’s free memory fell by {} for each. Its stack reserves {} of address space, of which only touched pages are real; the kernel’s stack is another one.",
            parts.join(", "),
            format::bytes(together),
            format::bytes(ledger.available.value),
            format::bytes(ledger.virtual_bytes)
        ),
    ))
}

pub(super) fn many_threads(view: &View<'_>) -> Option<(Finding, String)> {
    let ledger = &ledger(view, "memory.parked", "thread")?.ledger;
    let threads = view.run.header.host.machine.threads_count.max(1);
    // Other limits, such as the load generator's, say nothing of threads.
    let limit = view.run.failures.iter().find(|failure| {
        failure.lane == "thread"
            && failure.kind == FailureKind::Limit
            && failure.parameters.contains_key("tasks_count")
    });
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
