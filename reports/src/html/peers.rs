//! Our runtime beside its peers.

use maud::{Markup, html};

use super::table;
use super::view::{View, factor, tone};
use crate::analysis::{PeerRow, Peers, Row, is_floor, is_ours};
use crate::format;
use crate::stats::Verdict;
use crate::stats::bootstrap::Ratio;

/// The section, in runs that were asked for it.
pub(super) fn section(view: &View<'_>) -> Option<Markup> {
    let peers = Peers::of(view.run, view.analysis)?;
    let wins = peers.rows.iter().filter(|row| is_won(row)).count();
    let shared = peers.rows.iter().filter(|row| is_shared(row)).count();
    Some(html! {
        h2 { "Beside its peers" }
        p class="lead" {
            "The runtime of this project is the best in " b { (wins) } " of " (peers.rows.len()) " lines, and shares the best place in "
            b { (shared) } " more. Ratios are to the best " em { "peer" } ", never to ourselves; below 1× is better. "
            "★ marks the winner, whoever it is, and ☆ those that the figures cannot tell from it."
        }
        div class="sheet" {
            (grid(view, &peers))
            @let limited: Vec<&Row> = peers.rows.iter().flat_map(|row| row.cells.iter().map(|(cell, _)| cell)).collect();
            div class="notes" {
                p {
                    "The best peer of a line is chosen by its median: the more peers there are the luckier the best of them, which favours the peers. "
                    @if peers.lanes.iter().any(|lane| is_floor(lane)) {
                        b { "corosensei" } " switches stacks and schedules nothing: it is a floor, and wins nothing. "
                    }
                    "What each lane includes stands with its question below."
                }
                (table::limited(&limited))
            }
        }
    })
}

/// One of our lanes alone is the best.
fn is_won(row: &PeerRow) -> bool {
    row.winners.iter().all(|lane| is_ours(lane))
}

fn is_shared(row: &PeerRow) -> bool {
    !is_won(row) && row.winners.iter().any(|lane| is_ours(lane))
}

fn grid(view: &View<'_>, peers: &Peers) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="group" aria-label="Lanes beside their peers" {
            table class="peers" data-name="peers" {
                caption { "Median with its 95% interval; below it the ratio to the best peer" }
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
                            Some(0) => span class="star" title="the best of this line" { "★ " },
                            Some(_) => span class="star" title="not to be told from the best" { "☆ " },
                            None => "",
                        }
                        b { (cell.value_text()) }
                        small { (cell.interval_text()) }
                        @match ratio {
                            Some(ratio) => small title=(times(ratio)) { (format::times(ratio.value)) },
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
    let (Some(ours), Some(peer)) = (&row.ours, &row.best_peer) else {
        return html! { td class="none" { "no peer has a figure" } };
    };
    let words = match ours.verdict {
        Verdict::Faster => format!(
            "{} {}",
            factor(1.0 / ours.ratio.value),
            row.quantity.words(ours.verdict)
        ),
        Verdict::Slower => format!(
            "{} {}",
            factor(ours.ratio.value),
            row.quantity.words(ours.verdict)
        ),
        _ => ours.verdict.words().to_owned(),
    };
    html! {
        td class={"words " (tone(ours.verdict))} {
            b { (words) }
            small { (ours.lane) " ÷ " (peer) }
            small { (times(&ours.ratio)) }
        }
    }
}

/// A ratio with its interval: `0.81× (0.78 – 0.84×)`.
fn times(ratio: &Ratio) -> String {
    let value = format::times(ratio.value);
    match ratio.interval {
        Some(interval) => format!(
            "{value} ({})",
            format::range(&format::times(interval.low), &format::times(interval.high))
        ),
        None => value,
    }
}
