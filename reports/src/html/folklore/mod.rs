//! Common claims, checked against a run's figures.

mod cost;
mod memory;
mod scheduling;

use maud::html;

use super::view::{Section, View};
use crate::analysis::{LedgerRow, Row};
use crate::schema::{Role, Workload};
use crate::stats::{Estimate, Verdict};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Finding {
    Holds,
    Partly,
    Fails,
    Open,
    NotMeasured,
}

impl Finding {
    /// Holds if the whole interval is below the limit, fails if it is above. Open without an
    /// interval.
    fn below(figure: Estimate, limit: f64) -> Self {
        match figure.interval {
            Some(interval) if interval.high < limit => Finding::Holds,
            Some(interval) if interval.low > limit => Finding::Fails,
            _ => Finding::Open,
        }
    }

    /// As [`below`](Self::below), with the interval of `share` times `of` as the limit.
    fn below_share(figure: Estimate, share: f64, of: Estimate) -> Self {
        let low = of.interval.map_or(0.0, |interval| interval.low);
        let high = of.interval.map_or(f64::INFINITY, |interval| interval.high);
        match (
            Self::below(figure, share * low),
            Self::below(figure, share * high),
        ) {
            (Finding::Holds, _) => Finding::Holds,
            (_, Finding::Fails) => Finding::Fails,
            _ => Finding::Open,
        }
    }

    /// The finding on the claim that the first figure is smaller.
    fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Faster => Finding::Holds,
            Verdict::Slower | Verdict::Same => Finding::Fails,
            Verdict::CannotTell => Finding::Open,
        }
    }

    fn of_several(found: &[Finding]) -> Self {
        let has = |finding| found.contains(&finding);
        match (has(Finding::Holds), has(Finding::Fails), has(Finding::Open)) {
            (true, false, false) => Finding::Holds,
            (false, true, false) => Finding::Fails,
            (true, _, _) => Finding::Partly,
            (false, _, true) => Finding::Open,
            (false, false, false) => Finding::NotMeasured,
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Finding::Holds => ("✓ holds", "good"),
            Finding::Partly => ("◐ partly", "open"),
            Finding::Fails => ("✗ does not hold", "bad"),
            Finding::Open => ("? too noisy to say", "open"),
            Finding::NotMeasured => ("– not measured", "open"),
        }
    }
}

struct Claim {
    said: &'static str,
    judge: fn(&View<'_>) -> Option<(Finding, String)>,
    /// What the run must measure to judge the claim.
    wanting: &'static str,
}

static CLAIMS: [Claim; 15] = [
    Claim {
        said: "A goroutine starts with 2 KB.",
        judge: memory::starts_small,
        wanting: "the memory of waiting goroutines",
    },
    Claim {
        said: "A thread’s stack is 8 KB.",
        judge: memory::thread_stack,
        wanting: "the memory of waiting threads",
    },
    Claim {
        said: "Goroutines are faster to create than threads.",
        judge: |view| cost::goroutine_against(view, Role::Create),
        wanting: "the cost of starting tasks, on the lanes go and thread",
    },
    Claim {
        said: "Goroutines are faster to destroy than threads.",
        judge: cost::destroy,
        wanting: "the time that the end of a task takes, on the lanes go and thread",
    },
    Claim {
        said: "Goroutines are faster to switch than threads.",
        judge: |view| cost::goroutine_against(view, Role::Switch),
        wanting: "the cost of a switch, on the lanes go and thread",
    },
    Claim {
        said: "Switching between processes is slow.",
        judge: cost::process_switch,
        wanting: "the cost of a switch, on the lanes process and thread",
    },
    Claim {
        said: "Communication between goroutines is cheap.",
        judge: |view| cost::goroutine_against(view, Role::Communicate),
        wanting: "the cost of a message, on the lanes go and thread",
    },
    Claim {
        said: "A goroutine that blocks does not block its thread.",
        judge: scheduling::blocked,
        wanting: "many sleeping goroutines",
    },
    Claim {
        said: "Kernel threads are limited to the number of cores.",
        judge: memory::many_threads,
        wanting: "the memory of waiting threads",
    },
    Claim {
        said: "An idle P steals half of another’s queue.",
        judge: scheduling::stealing,
        wanting: "computing on several CPUs, on a lane that counts what is stolen",
    },
    Claim {
        said: "A goroutine that runs for long is preempted after 10 ms.",
        judge: scheduling::preemption,
        wanting: "goroutines that wait beside some that only compute",
    },
    Claim {
        said: "A goroutine’s memory can shrink, a thread’s does not.",
        judge: memory::shrink,
        wanting: "the memory of tasks with large stacks, and afterwards, on the lanes go and thread",
    },
    Claim {
        said: "One core gives concurrency without parallelism.",
        judge: scheduling::one_core,
        wanting: "goroutines on one CPU that exchange messages, and some that compute",
    },
    Claim {
        said: "In a container GOMAXPROCS must match the quota.",
        judge: scheduling::quota,
        wanting: "a run inside a control group with a CPU quota",
    },
    Claim {
        said: "Share memory by communicating: channels, not mutexes.",
        judge: cost::channels,
        wanting: "a counter shared by goroutines",
    },
];

pub(super) fn section(view: &View<'_>) -> Option<Section> {
    let answers: Vec<(&Claim, Option<(Finding, String)>)> = CLAIMS
        .iter()
        .map(|claim| (claim, (claim.judge)(view)))
        .collect();
    if answers.iter().all(|(_, answer)| answer.is_none()) {
        return None;
    }
    let lead = html! {
        "Common claims about goroutines, threads and processes, checked against this host’s figures. "
        "A claim about goroutines is judged on Go’s; those of this project are shown with them."
    };
    let body = html! {
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
                                None => { span class="open" { "Not in this run: " (claim.wanting) "." } }
                            }
                        }
                    }
                }
            }
        }
    };
    Some(Section {
        title: "Folklore, checked",
        lead,
        body,
    })
}

/// Claims about goroutines are judged by this lane.
const GO: &str = "go";

const OURS: &str = "threadbare";

fn ledger<'a>(view: &View<'a>, role: Role, lane: &str) -> Option<&'a LedgerRow> {
    let workload = view.with_role(role).next()?;
    view.analysis
        .ledgers
        .iter()
        .find(|row| row.workload == workload.id && row.lane == lane)
}

fn row<'a>(view: &View<'a>, workload: &Workload, lane: &str) -> Option<&'a Row> {
    view.main_case(workload)?
        .1
        .into_iter()
        .find(|row| row.lane == lane)
}

fn name(view: &View<'_>, workload: &str) -> String {
    match view.run.workload(workload) {
        Some(known) if !known.title.is_empty() => format!("“{}”", known.title),
        _ => workload.to_owned(),
    }
}

fn sentence(parts: &[String]) -> String {
    format!("{}.", parts.join("; "))
}

fn metric<'a>(view: &View<'a>, role: Role, lane: &str, quantity: &str) -> Option<&'a Row> {
    let workload = view.with_role(role).next()?;
    let is_it = |row: &Row| row.workload == workload.id && row.lane == lane;
    let mut rows = view.analysis.rows.iter();
    rows.find(|row| is_it(row) && row.quantity.id == quantity && row.estimate.is_some())
}
