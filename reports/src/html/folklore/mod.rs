//! What people repeat, held against this host's figures.

mod cost;
mod memory;
mod scheduling;

use maud::{Markup, html};

use super::view::View;
use crate::analysis::{LedgerRow, Row};
use crate::schema::Workload;

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
    fn holds_if(holds: bool) -> Self {
        match holds {
            true => Finding::Holds,
            false => Finding::Fails,
        }
    }

    /// What several instances come to; nothing for none.
    fn of_several(hold: &[bool]) -> Option<Self> {
        match (hold.contains(&true), hold.contains(&false)) {
            (true, true) => Some(Finding::Partly),
            (true, false) => Some(Finding::Holds),
            (false, true) => Some(Finding::Fails),
            (false, false) => None,
        }
    }

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
        ask: memory::starts_small,
        wanting: "memory.parked on a goroutine lane",
    },
    Claim {
        said: "A thread’s stack is 8 KB.",
        ask: memory::thread_stack,
        wanting: "memory.parked on the thread lane",
    },
    Claim {
        said: "Goroutines are faster to create than threads.",
        ask: |view| cost::goroutine_against(view, "thread", &["spawn.one", "spawn.batch"]),
        wanting: "spawn.one or spawn.batch on both lanes",
    },
    Claim {
        said: "Goroutines are faster to destroy than threads.",
        ask: cost::destroy,
        wanting: "spawn.first_instruction, whose finish_ns is the end alone",
    },
    Claim {
        said: "Goroutines are faster to switch than threads.",
        ask: |view| {
            cost::goroutine_against(
                view,
                "thread",
                &["switch.yield", "switch.pingpong", "switch.ring"],
            )
        },
        wanting: "switch.yield or switch.pingpong on both lanes",
    },
    Claim {
        said: "Switching between processes is slow.",
        ask: cost::process_switch,
        wanting: "switch.pipe or switch.pingpong on the process and thread lanes",
    },
    Claim {
        said: "Communication between goroutines is cheap.",
        ask: |view| {
            cost::goroutine_against(
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
        ask: scheduling::blocked,
        wanting: "io.sleepers on the goroutine lane",
    },
    Claim {
        said: "Kernel threads are limited to the number of cores.",
        ask: memory::many_threads,
        wanting: "memory.parked on the thread lane",
    },
    Claim {
        said: "An idle P steals half of another’s queue.",
        ask: scheduling::stealing,
        wanting: "cpu.primes on the goroutine lane with several workers",
    },
    Claim {
        said: "A goroutine that runs for long is preempted after 10 ms.",
        ask: scheduling::preemption,
        wanting: "switch.hog on the goroutine lane",
    },
    Claim {
        said: "A goroutine’s memory can shrink, a thread’s does not.",
        ask: memory::shrink,
        wanting: "memory.deep and memory.shrink on both lanes",
    },
    Claim {
        said: "One core gives concurrency without parallelism.",
        ask: scheduling::one_core,
        wanting: "switch.roundtrip, and cpu.primes with one worker",
    },
    Claim {
        said: "In a container GOMAXPROCS must match the quota.",
        ask: scheduling::quota,
        wanting: "a run inside a control group with a CPU quota",
    },
    Claim {
        said: "Share memory by communicating: channels, not mutexes.",
        ask: cost::channels,
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

/// A further figure of a lane, over the cases the median of what there is.
fn metric<'a>(view: &View<'a>, workload: &str, lane: &str, quantity: &str) -> Option<&'a Row> {
    view.analysis.rows.iter().find(|row| {
        row.workload == workload
            && row.lane == lane
            && row.quantity.id == quantity
            && row.estimate.is_some()
    })
}
