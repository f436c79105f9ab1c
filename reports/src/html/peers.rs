//! Our runtime against its peers.

use maud::{Markup, html};

use super::table;
use super::view::{Section, View, factor, tone};
use crate::analysis::{Ours, PeerRow, Peers, Row, is_floor, is_ours, ratio_text};
use crate::format;
use crate::stats::Verdict;

/// `None` unless the run has the preset `peers`.
pub(super) fn section(view: &View<'_>) -> Option<Section> {
    let peers = Peers::of(view.run, view.analysis)?;
    let modes: Vec<&String> = peers.lanes.iter().filter(|lane| is_ours(lane)).collect();
    let lead = html! {
        "Each mode of this project’s runtime is compared with the best " em { "peer" } ", which is never one of its own modes: "
        @for (index, mode) in modes.iter().enumerate() {
            @let [better, worse, same, open] = standing(&peers, mode);
            @if index > 0 { "; " }
            b { (mode) } " is better in " b { (better) } " rows, worse in " b { (worse) } ", the same in " (same) ", too noisy to say in " (open)
        }
        ". A ratio below 1× is better. ★ marks the best lane of a row, ☆ the lanes that are not measurably worse."
    };
    let body = html! {
        div class="sheet" {
            (grid(view, &peers))
            @let limited: Vec<&Row> = peers.rows.iter().flat_map(|row| row.cells.iter().map(|(cell, _)| cell)).collect();
            div class="notes" {
                p {
                    "The best peer of a row is the one with the best median. Of many peers the best is also the luckiest, which favours the peers. "
                    @if peers.lanes.iter().any(|lane| is_floor(lane)) {
                        b { "corosensei" } " only switches stacks and has no scheduler: it shows the least possible cost, and is not ranked. "
                    }
                    "The question below says what a figure includes."
                }
                (table::limited(&limited))
            }
        }
    };
    Some(Section {
        title: "Compared with its peers",
        lead,
        body,
    })
}

/// How many rows the lane is better in than the best peer, worse, the same, and undecided.
fn standing(peers: &Peers, lane: &str) -> [usize; 4] {
    let ours = peers.rows.iter().flat_map(|row| &row.ours);
    let verdicts: Vec<Verdict> = ours
        .filter(|ours| ours.lane == lane)
        .map(|ours| ours.verdict)
        .collect();
    [
        Verdict::Faster,
        Verdict::Slower,
        Verdict::Same,
        Verdict::CannotTell,
    ]
    .map(|verdict| verdicts.iter().filter(|one| **one == verdict).count())
}

fn grid(view: &View<'_>, peers: &Peers) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="group" aria-label="Lanes beside their peers" {
            table class="peers" data-name="peers" {
                caption { "Each cell: the median, its 95% interval, and the ratio to the best peer" }
                thead { tr {
                    th class="words" scope="col" { "Workload" }
                    th class="words" scope="col" { "Ours ÷ best peer" }
                    @for lane in &peers.lanes {
                        th scope="col" data-lane=(lane) { (table::lane(view, lane)) @if is_floor(lane) { small { "floor" } } }
                    }
                } }
                tbody {
                    @for row in &peers.rows { (line(view, peers, row)) }
                }
            }
        }
        div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
    }
}

fn line(view: &View<'_>, peers: &Peers, row: &PeerRow) -> Markup {
    let title = view
        .run
        .workload(&row.workload)
        .map_or("", |one| &one.title);
    let case = view.case_text(&row.workload, &row.case);
    html! {
        tr data-workload=(row.workload) {
            th scope="row" {
                a href={"#q-" (row.workload)} { (title) }
                small { (row.quantity.title) @if !case.is_empty() { " · " (case) } }
            }
            (ours(row))
            @for lane in &peers.lanes {
                @match row.cells.iter().find(|(cell, _)| cell.lane == *lane) {
                    None => td class="none" data-lane=(lane) { "–" },
                    Some((cell, ratio)) => td data-lane=(lane) title=(cell.interval_text()) {
                        @match row.winners.iter().position(|winner| winner == lane) {
                            Some(0) => span class="star" title="the best of this row" { "★ " },
                            Some(_) => span class="star" title="not measurably worse than the best" { "☆ " },
                            None => "",
                        }
                        b { (cell.value_text()) }
                        small { (cell.interval_text()) }
                        @match ratio {
                            Some(ratio) => small title=(ratio_text(ratio)) { (format::times(ratio.value)) },
                            None if row.best_peer.as_ref() == Some(lane) => small { "best peer" },
                            None => "",
                        }
                    },
                }
            }
        }
    }
}

fn ours(row: &PeerRow) -> Markup {
    let Some(peer) = row.best_peer.as_ref().filter(|_| !row.ours.is_empty()) else {
        return html! { td class="none" { "nothing to compare" } };
    };
    html! {
        td class="words" {
            @for ours in &row.ours {
                b class=(tone(ours.verdict)) { (words(row, ours)) }
                small { (ours.lane) " ÷ " (peer) }
                small { (ours.ratio_text()) }
            }
        }
    }
}

fn words(row: &PeerRow, ours: &Ours) -> String {
    let by = match ours.verdict {
        Verdict::Faster => 1.0 / ours.ratio.value,
        Verdict::Slower => ours.ratio.value,
        other => return other.words().to_owned(),
    };
    format!("{} {}", factor(by), row.quantity.words(ours.verdict))
}
