//! What people repeat, held against this host's figures.

use maud::{Markup, html};

use super::view::{View, capital, effect};
use crate::analysis::{LedgerRow, Row};
use crate::format;
use crate::schema::Workload;
use crate::stats::Verdict;

/// What this host says to a claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finding {
    Holds,
    Partly,
    Fails,
    Open,
    NotMeasured,
}

impl Finding {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Finding::Holds => ("✓ holds", "good"),
            Finding::Partly => ("◐ partly", "open"),
            Finding::Fails => ("✗ does not hold", "bad"),
            Finding::Open => ("? cannot tell", "open"),
            Finding::NotMeasured => ("– not measured", "open"),
        }
    }
}

/// A claim, and how this run's figures are put to it.
struct Claim {
    said: &'static str,
    ask: fn(&View<'_>) -> Option<(Finding, String)>,
    /// What would answer it where the run does not.
    wanting: &'static str,
}

static CLAIMS: [Claim; 15] = [
    Claim {
        said: "A goroutine starts with 2 KB.",
        ask: starts_small,
        wanting: "memory.parked on a goroutine lane",
    },
    Claim {
        said: "A thread’s stack is 8 KB.",
        ask: thread_stack,
        wanting: "memory.parked on the thread lane",
    },
    Claim {
        said: "Goroutines are faster to create than threads.",
        ask: |view| goroutine_against(view, "thread", &["spawn.one", "spawn.batch"]),
        wanting: "spawn.one or spawn.batch on both lanes",
    },
    Claim {
        said: "Goroutines are faster to destroy than threads.",
        ask: destroy,
        wanting: "spawn.first_instruction, whose finish_ns is the end alone",
    },
    Claim {
        said: "Goroutines are faster to switch than threads.",
        ask: |view| {
            goroutine_against(
                view,
                "thread",
                &["switch.yield", "switch.pingpong", "switch.ring"],
            )
        },
        wanting: "switch.yield or switch.pingpong on both lanes",
    },
    Claim {
        said: "Switching between processes is slow.",
        ask: process_switch,
        wanting: "switch.pipe or switch.pingpong on the process and thread lanes",
    },
    Claim {
        said: "Communication between goroutines is cheap.",
        ask: |view| {
            goroutine_against(
                view,
                "thread",
                &[
                    "switch.pingpong",
                    "share.pipeline",
                    "share.fan_in",
                    "share.bounded_buffer",
                ],
            )
        },
        wanting: "switch.pingpong or share.pipeline on both lanes",
    },
    Claim {
        said: "A goroutine that blocks does not block its thread.",
        ask: blocked,
        wanting: "io.sleepers on the goroutine lane",
    },
    Claim {
        said: "Kernel threads are limited to the number of cores.",
        ask: many_threads,
        wanting: "memory.parked on the thread lane",
    },
    Claim {
        said: "An idle P steals half of another’s queue.",
        ask: stealing,
        wanting: "cpu.primes on the goroutine lane with several workers",
    },
    Claim {
        said: "A goroutine that runs for long is preempted after 10 ms.",
        ask: preemption,
        wanting: "switch.hog on the goroutine lane",
    },
    Claim {
        said: "A goroutine’s memory can shrink, a thread’s does not.",
        ask: shrink,
        wanting: "memory.deep and memory.shrink on both lanes",
    },
    Claim {
        said: "One core gives concurrency without parallelism.",
        ask: one_core,
        wanting: "switch.roundtrip, and cpu.primes with one worker",
    },
    Claim {
        said: "In a container GOMAXPROCS must match the quota.",
        ask: quota,
        wanting: "a run inside a control group with a CPU quota",
    },
    Claim {
        said: "Share memory by communicating: channels, not mutexes.",
        ask: channels,
        wanting: "share.counter on the goroutine lane",
    },
];

/// The section.
pub(super) fn section(view: &View<'_>) -> Option<Markup> {
    let answers: Vec<(&Claim, Option<(Finding, String)>)> = CLAIMS
        .iter()
        .map(|claim| (claim, (claim.ask)(view)))
        .collect();
    if answers.iter().all(|(_, answer)| answer.is_none()) {
        return None;
    }
    Some(html! {
        h2 { "Folklore, checked" }
        p class="lead" { "What people repeat about goroutines, threads and processes, and what this host’s figures say to it." }
        ul class="claims" {
            @for (claim, answer) in &answers {
                @let finding = answer.as_ref().map_or(Finding::NotMeasured, |answer| answer.0);
                @let (words, class) = finding.words();
                li class="claim" {
                    span class={"mark " (class)} { (words) }
                    div {
                        span class="said" { "“" (claim.said) "”" }
                        p {
                            @match answer {
                                Some((_, evidence)) => (evidence),
                                None => { span class="open" { "It would take " (claim.wanting) "." } }
                            }
                        }
                    }
                }
            }
        }
    })
}

const GOROUTINE: &str = "goroutine";

fn ledger<'a>(view: &View<'a>, workload: &str, lane: &str) -> Option<&'a LedgerRow> {
    view.analysis
        .ledgers
        .iter()
        .find(|row| row.workload == workload && row.lane == lane)
}

/// The lane's row of the workload's main case.
fn row<'a>(view: &View<'a>, workload: &str, lane: &str) -> Option<&'a Row> {
    let known: &Workload = view.run.workload(workload)?;
    view.main_case(known)?
        .1
        .into_iter()
        .find(|row| row.lane == lane)
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

fn goroutine_against(
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
            "{}: goroutine {}, {other} {} ({})",
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

/// What a reader calls the workload.
fn name(view: &View<'_>, workload: &str) -> String {
    match view.run.workload(workload) {
        Some(known) if !known.title.is_empty() => format!("“{}”", known.title),
        _ => workload.to_owned(),
    }
}

fn sentence(parts: &[String]) -> String {
    format!("{}.", parts.join("; "))
}

fn starts_small(view: &View<'_>) -> Option<(Finding, String)> {
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
    let finding = if holds? {
        Finding::Holds
    } else {
        Finding::Fails
    };
    Some((
        finding,
        format!(
            "{} Its own record and the allocator’s share come on top of the stack.",
            capital(&sentence(&evidence))
        ),
    ))
}

fn thread_stack(view: &View<'_>) -> Option<(Finding, String)> {
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

/// A further figure of a lane, over the cases the median of what there is.
fn metric<'a>(view: &View<'a>, workload: &str, lane: &str, quantity: &str) -> Option<&'a Row> {
    view.analysis.rows.iter().find(|row| {
        row.workload == workload
            && row.lane == lane
            && row.quantity.id == quantity
            && row.estimate.is_some()
    })
}

fn destroy(view: &View<'_>) -> Option<(Finding, String)> {
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

fn process_switch(view: &View<'_>) -> Option<(Finding, String)> {
    let mut evidence = Vec::new();
    let mut dearest: f64 = 0.0;
    for workload in ["switch.pipe", "switch.pingpong", "switch.yield"] {
        if let Some((process, thread, ratio, _)) = pair(view, workload, "process", "thread") {
            dearest = dearest.max(ratio);
            evidence.push(format!(
                "{}: process {}, thread {} ({})",
                name(view, workload),
                process.value_text(),
                thread.value_text(),
                format::times(ratio)
            ));
        }
    }
    if evidence.is_empty() {
        return None;
    }
    let finding = if dearest < 1.25 {
        Finding::Fails
    } else {
        Finding::Partly
    };
    let remark = "A switch between processes is a switch between threads plus another address space; what is slow is the kernel’s hop, which both pay.";
    Some((finding, format!("{} {remark}", sentence(&evidence))))
}

fn blocked(view: &View<'_>) -> Option<(Finding, String)> {
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
    let finding = if wall < in_turn / 2.0 {
        Finding::Holds
    } else {
        Finding::Fails
    };
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

fn many_threads(view: &View<'_>) -> Option<(Finding, String)> {
    let ledger = &ledger(view, "memory.parked", "thread")?.ledger;
    let threads = view.run.header.host.machine.threads_count.max(1);
    let limit = view.run.failures.iter().find(|failure| {
        failure.lane == "thread" && failure.kind == crate::schema::FailureKind::Limit
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

fn stealing(view: &View<'_>) -> Option<(Finding, String)> {
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
    Some((
        finding,
        format!(
            "In {}, a P that ran out of work took {} of the goroutines in the queue that it found: half, rounded up, which of a queue of one is all. It takes none of what the other would run next.",
            name(view, &row.workload),
            row.value_text()
        ),
    ))
}

fn preemption(view: &View<'_>) -> Option<(Finding, String)> {
    let mut evidence = Vec::new();
    let mut finding = None;
    for lane in [GOROUTINE, "go", "thread", "tokio"] {
        let Some(row) = metric(view, "switch.hog", lane, "worst_delay_ns") else {
            continue;
        };
        let value = row.estimate?.value;
        if lane == GOROUTINE {
            // One time slice, and as much again until the sleeper's turn.
            finding = Some(if value < 30e6 {
                Finding::Holds
            } else {
                Finding::Fails
            });
        }
        evidence.push(format!("{lane} {}", row.value_text()));
    }
    Some((
        finding?,
        format!(
            "Worst delay of a task beside tasks that never let go: {}",
            sentence(&evidence)
        ),
    ))
}

/// The memory of a task as deep in its stack as was measured.
fn deepest(view: &View<'_>, lane: &str) -> Option<f64> {
    let mut rows = view.analysis.ledgers.iter();
    rows.rfind(|row| row.workload == "memory.deep" && row.lane == lane)
        .map(|row| row.ledger.available.value)
}

fn shrink(view: &View<'_>) -> Option<(Finding, String)> {
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
    let mut finding = if after < 0.7 * deep {
        Finding::Holds
    } else {
        Finding::Fails
    };
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

fn one_core(view: &View<'_>) -> Option<(Finding, String)> {
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
    let finding = if busy < 1.1 {
        Finding::Holds
    } else {
        Finding::Fails
    };
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

fn quota(view: &View<'_>) -> Option<(Finding, String)> {
    let throttled = view
        .run
        .taints
        .iter()
        .find(|taint| taint.kind == "throttling")?;
    Some((
        Finding::Holds,
        format!(
            "This run was throttled by its quota: {}.",
            throttled.message
        ),
    ))
}

fn channels(view: &View<'_>) -> Option<(Finding, String)> {
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
    let ratio = channel.estimate?.value / mutex.estimate?.value;
    let finding = if ratio > 1.5 {
        Finding::Fails
    } else {
        Finding::Partly
    };
    let atomic = atomic.map_or_else(String::new, |row| {
        format!(", by an atomic {}", row.value_text())
    });
    Some((
        finding,
        format!(
            "An addition to a shared counter costs {} by a channel to its owner, {} by a mutex{atomic}. The advice is about clarity; for the cost of a single number it does not hold.",
            channel.value_text(),
            mutex.value_text()
        ),
    ))
}
