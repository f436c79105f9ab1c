//! Claims about a task's memory.

use super::{Finding, GO, OURS, ledger, sentence};
use crate::format;
use crate::html::view::{View, capital};
use crate::schema::{FailureKind, Role};
use crate::stats::Estimate;

/// A claim about a stack's size holds if a task's user pages are at most this many times as large:
/// pages are whole, and a task has more than its stack.
const ROOM: f64 = 2.0;

pub(super) fn starts_small(view: &View<'_>) -> Option<(Finding, String)> {
    const MOST_BYTES: f64 = ROOM * 2_048.0;
    let mut evidence = Vec::new();
    let mut finding = Finding::NotMeasured;
    for lane in [GO, OURS] {
        let Some(row) = ledger(view, Role::WaitingMemory, lane) else {
            continue;
        };
        let user = row.ledger.parts.first()?.1;
        let total = row.ledger.sum.value;
        if lane == GO {
            finding = Finding::below(user, MOST_BYTES);
        }
        evidence.push(format!(
            "{} that waits holds {} of user pages, {} in all",
            view.a_task(lane),
            format::bytes(user.value),
            format::bytes(total)
        ));
    }
    (!evidence.is_empty()).then(|| (
        finding,
        format!(
            "{} The stack is one part of that; the others are the task’s own record, the allocator’s overhead and what its code touched.",
            capital(&sentence(&evidence))
        ),
    ))
}

pub(super) fn thread_stack(view: &View<'_>) -> Option<(Finding, String)> {
    let ledger = &ledger(view, Role::WaitingMemory, "thread")?.ledger;
    let parts: Vec<String> = ledger
        .parts
        .iter()
        .filter(|(_, estimate)| estimate.value.abs() >= 1.0)
        .map(|(part, estimate)| format!("{} {}", part.title(), format::bytes(estimate.value)))
        .collect();
    const MOST_BYTES: f64 = ROOM * 8_192.0;
    let user = ledger.parts.first()?.1;
    Some((
        Finding::below(user, MOST_BYTES),
        format!(
            "A waiting thread takes {}, {} together. The claim is checked against its user pages, as for the goroutine. Its stack reserves {} of address space, of which only touched pages use memory; the kernel keeps a second stack for it.",
            parts.join(", "),
            format::bytes(ledger.sum.value),
            format::bytes(ledger.virtual_bytes)
        ),
    ))
}

pub(super) fn many_threads(view: &View<'_>) -> Option<(Finding, String)> {
    let ledger = &ledger(view, Role::WaitingMemory, "thread")?.ledger;
    let threads = view.run.header.host.machine.threads_count.max(1);
    // Other limits, such as the load generator's, are not limits of threads.
    let limit = view.run.failures.iter().find(|failure| {
        failure.lane == "thread"
            && failure.kind == FailureKind::Limit
            && failure.parameters.contains_key("tasks_count")
    });
    let limit = limit.map_or_else(String::new, |failure| {
        format!(
            " The limit that was met: {}.",
            crate::failure::line(failure.kind, &failure.message)
        )
    });
    let finding = if ledger.largest_count > u64::from(threads) {
        Finding::Fails
    } else {
        Finding::Open
    };
    Some((
        finding,
        format!(
            "{} threads waited at once on {} hardware threads. The cores limit how many run at one moment, not how many there are.{limit}",
            format::count(ledger.largest_count),
            threads
        ),
    ))
}

pub(super) fn shrink(view: &View<'_>) -> Option<(Finding, String)> {
    /// Memory counts as shrunk if at most this share of it remains.
    const MOST_LEFT_RATIO: f64 = 0.7;
    let mut evidence = Vec::new();
    let found = [GO, "thread", OURS].map(|lane| {
        let deep = deepest(view, lane)?;
        let after = ledger(view, Role::ShrunkMemory, lane)?.ledger.sum;
        evidence.push(format!(
            "{} with a deep stack costs {}, and {} when its calls have returned and it waits",
            view.a_task(lane),
            format::bytes(deep.value),
            format::bytes(after.value)
        ));
        Some(Finding::below_share(after, MOST_LEFT_RATIO, deep))
    });
    let finding = match found {
        [Some(Finding::Holds), Some(Finding::Holds), _] => Finding::Partly,
        [Some(go), ..] => go,
        [None, ..] => Finding::NotMeasured,
    };
    (!evidence.is_empty()).then(|| (finding, capital(&sentence(&evidence))))
}

fn deepest(view: &View<'_>, lane: &str) -> Option<Estimate> {
    let workload = view.with_role(Role::DeepMemory).next()?;
    let mut rows = view.analysis.ledgers.iter();
    rows.rfind(|row| row.workload == workload.id && row.lane == lane)
        .map(|row| row.ledger.sum)
}
