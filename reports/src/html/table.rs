//! Tables of figures.

use maud::{Markup, html};

use super::view::{View, tone};
use crate::analysis::{LEAST_HEADROOM, Row, Unit};
use crate::schema::FailureKind;
use crate::stats::Verdict;
use crate::{failure, format};

#[derive(Clone, Copy)]
struct Shown {
    cpu: bool,
    events: bool,
}

impl Shown {
    fn columns_count(self) -> usize {
        6 + 2 * usize::from(self.cpu) + usize::from(self.events)
    }
}

/// A table with a heading before each quantity and case, if there are several. `name` is that of
/// the CSV file.
pub(super) fn figures(view: &View<'_>, name: &str, caption: &str, rows: &[&Row]) -> Markup {
    let reference = &view.analysis.reference_lane;
    let shown = Shown {
        cpu: rows.iter().any(|row| row.cpu_ns.is_some()),
        events: rows.iter().any(|row| !row.events.is_empty()),
    };
    let headings = headings(view, rows);
    html! {
        div class="scroll" tabindex="0" role="group" aria-label=(caption) {
            table data-name=(name) {
                caption { (caption) }
                thead {
                    tr {
                        th class="words" scope="col" { "Lane" }
                        th scope="col" { "Figure" }
                        th scope="col" { "95% interval" }
                        th scope="col" title="Below 1× is less. From pairs of processes, so not exactly the quotient of the two medians shown" { "÷ " (reference) }
                        th class="words" scope="col" { "Verdict" }
                        @if shown.cpu {
                            th scope="col" title="User and system CPU time of one operation" { "CPU" }
                            th scope="col" title="Context switches of one operation: voluntary + forced" { "Switches (voluntary + forced)" }
                        }
                        @if shown.events {
                            th scope="col" title="Events of one operation, counted by perf in a separate process" { "Events" }
                        }
                        th scope="col" title="Samples of all processes; outliers are kept in the figure" { "Samples" }
                    }
                }
                tbody {
                    @for (row, heading) in rows.iter().zip(&headings) {
                        @if let Some(heading) = heading {
                            tr class="case" { th colspan=(shown.columns_count()) scope="rowgroup" { (heading) } }
                        }
                        (line(view, row, shown))
                    }
                }
            }
        }
        div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        (limited(rows))
        (undecided_note(view, rows))
    }
}

/// Why comparisons are undecided, and what would decide them; empty if all are decided.
fn undecided_note(view: &View<'_>, rows: &[&Row]) -> Markup {
    let is_open = |row: &&&Row| {
        let standing = row.standing.as_ref();
        standing.is_some_and(|standing| standing.verdict == Verdict::CannotTell)
    };
    let mut lanes: Vec<&str> = rows
        .iter()
        .filter(is_open)
        .map(|row| row.lane.as_str())
        .collect();
    lanes.dedup();
    if lanes.is_empty() {
        return html! {};
    }
    let reference = &view.analysis.reference_lane;
    let spreads = rows
        .iter()
        .filter(|row| row.lane == *reference || lanes.contains(&row.lane.as_str()))
        .filter_map(|row| Some((row.lane.as_str(), row.spread()?)));
    let widest = spreads.max_by(|a, b| a.1.total_cmp(&b.1));
    html! {
        p class="notes" {
            b { "Too noisy to say: " }
            @if let Some((lane, spread)) = widest {
                "processes of one lane differ too much; those of " (lane) " differ most, by up to " (format::times(spread)) ". "
            }
            "More processes may decide it (" code { "--budget" } " or " code { "--processes" } ")."
        }
    }
}

pub(super) fn limited<'a>(rows: impl IntoIterator<Item = &'a &'a Row>) -> Markup {
    let is_any = rows.into_iter().any(|row| row.is_limited());
    html! {
        @if is_any {
            p class="notes" {
                b { "At most, at least: " }
                "the load generator could do less than " (format::times(LEAST_HEADROOM))
                " what it was asked for, so it may be the limit. The lane may be better than the figure."
            }
        }
    }
}

/// A heading for each row that begins a new quantity or case; none if all rows have one quantity
/// and no case.
fn headings(view: &View<'_>, rows: &[&Row]) -> Vec<Option<String>> {
    let first = rows.first().map(|row| &row.quantity.id);
    let several = rows.iter().any(|row| Some(&row.quantity.id) != first);
    let mut last = None;
    rows.iter()
        .map(|row| {
            let case = view.case_text(&row.workload, &row.case);
            let this = Some((row.quantity.id.as_str(), case.clone()));
            let is_new = last != this && (last.is_some() || several || !case.is_empty());
            last = this;
            is_new.then(|| match (several, case.is_empty()) {
                (false, false) => case,
                (false, true) if row.estimate.is_none() => "not measured".to_owned(),
                (_, true) => row.quantity.title.clone(),
                (true, false) => format!("{} · {case}", row.quantity.title),
            })
        })
        .collect()
}

fn line(view: &View<'_>, row: &Row, shown: Shown) -> Markup {
    let reference = &view.analysis.reference_lane;
    if row.estimate.is_none() {
        let expected = row
            .absence
            .as_ref()
            .is_some_and(|absence| absence.kind.is_expected());
        return html! {
            tr data-lane=(row.lane) {
                th scope="row" { (lane(view, &row.lane)) }
                td class="none" { "n/a" }
                td class={"wrapped " (if expected { "none" } else { "bad" })} colspan=(shown.columns_count() - 2) {
                    @if let Some(absence) = &row.absence {
                        (kind(absence.kind)) ": " (failure::line(absence.kind, &absence.message))
                    }
                }
            }
        };
    }
    let tone = row
        .standing
        .as_ref()
        .map_or("open", |standing| tone(standing.verdict));
    html! {
        tr data-lane=(row.lane) {
            th scope="row" { (lane(view, &row.lane)) }
            td { b { (row.value_text()) } }
            td class="open" { (row.interval_text()) }
            td { (row.ratio_text()) }
            td class={"words " (tone)} { (row.verdict_text(reference)) }
            @if shown.cpu {
                td class="open" { (row.cpu_ns.map_or_else(String::new, |cpu| Unit::Nanoseconds.text(cpu))) }
                td class="open" {
                    @if let (Some(voluntary), Some(involuntary)) = (row.voluntary_switches, row.involuntary_switches) {
                        (short_number(voluntary)) " + " (short_number(involuntary))
                    }
                }
            }
            @if shown.events {
                td class="open" title=(events(row, usize::MAX)) {
                    (if row.events.is_empty() { "n/a".to_owned() } else { events(row, 1) })
                }
            }
            td class="open" {
                (format::parameter("samples_count", row.samples_count as u64))
                @if row.outliers_count > 0 { ", " (format::parameter("outliers_count", row.outliers_count as u64)) }
            }
        }
    }
}

fn events(row: &Row, most: usize) -> String {
    const FIRST: [&str; 2] = ["instructions", "page_faults"];
    let rank = |name: &str| FIRST.iter().position(|first| *first == name);
    let mut all: Vec<_> = row.events.iter().collect();
    all.sort_by_key(|(name, _)| rank(name).unwrap_or(FIRST.len()));
    let texts = all
        .into_iter()
        .take(most)
        .map(|(name, count)| format!("{} {}", short_number(*count), name.replace('_', " ")));
    texts.collect::<Vec<_>>().join(", ")
}

fn short_number(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value < 0.01 {
        "<0.01".to_owned()
    } else {
        let text = format!("{value:.2}");
        if value < 10.0 {
            text
        } else {
            format::number(value)
        }
    }
}

/// Headings side by side have at most this many letters, if the reverse table is narrower.
const MOST_LETTERS: usize = 84;

/// The short form of [`figures`]: a line for each lane and a column for each case. If the names of
/// the cases have more than [`MOST_LETTERS`] and more than those of the lanes, it is the reverse.
pub(super) fn matrix(view: &View<'_>, name: &str, caption: &str, rows: &[&Row]) -> Markup {
    let mut cases = Vec::new();
    let mut lanes = Vec::new();
    for row in rows.iter().filter(|row| row.estimate.is_some()) {
        if !cases.contains(&&row.case) {
            cases.push(&row.case);
        }
        if !lanes.contains(&row.lane.as_str()) {
            lanes.push(row.lane.as_str());
        }
    }
    lanes.sort_by_key(|lane| view.lane_index(lane));
    let workload = rows.first().map_or("", |row| row.workload.as_str());
    let find = |lane: &str, case: &crate::analysis::Case| {
        rows.iter()
            .find(|row| row.lane == lane && row.case == *case)
    };
    let cell = |lane: &str, case: &crate::analysis::Case| match find(lane, case) {
        Some(row) if row.estimate.is_some() => {
            html! { td data-lane=(lane) title=(row.interval_text()) { (row.value_text()) } }
        }
        Some(row) => {
            html! { td class="none" data-lane=(lane) title=(row.verdict_text("")) { "n/a" } }
        }
        None => html! { td class="none" data-lane=(lane) { "–" } },
    };
    let cases: Vec<_> = cases
        .into_iter()
        .map(|case| (case, view.case_text(workload, case)))
        .collect();
    let letters =
        |texts: &mut dyn Iterator<Item = usize>| texts.map(|count| count + 3).sum::<usize>();
    let of_cases = letters(&mut cases.iter().map(|(_, text)| text.chars().count()));
    let of_lanes = letters(&mut lanes.iter().map(|name| name.len() + 2));
    let cases_down = of_cases > MOST_LETTERS && of_lanes < of_cases;
    html! {
        div class="scroll" tabindex="0" role="group" aria-label=(caption) {
            table data-name=(name) {
                caption { (caption) }
                @if cases_down {
                    thead { tr {
                        th class="words" scope="col" { "Case" }
                        @for name in &lanes { th scope="col" data-lane=(name) { (lane(view, name)) } }
                    } }
                    tbody {
                        @for (case, text) in &cases {
                            tr {
                                th scope="row" { (text) }
                                @for name in &lanes { (cell(name, case)) }
                            }
                        }
                    }
                } @else {
                    thead { tr {
                        th class="words" scope="col" { "Lane" }
                        @for (_, text) in &cases { th scope="col" { (text) } }
                    } }
                    tbody {
                        @for name in &lanes {
                            tr data-lane=(name) {
                                th scope="row" { (lane(view, name)) }
                                @for (case, _) in &cases { (cell(name, case)) }
                            }
                        }
                    }
                }
            }
        }
        div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        (limited(rows))
    }
}

pub(super) fn lane(view: &View<'_>, name: &str) -> Markup {
    html! { span class=(view.swatch(name)) {} (name) }
}

pub(super) fn kind(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::NotSupported => "not supported",
        FailureKind::NotInstalled => "not installed",
        FailureKind::Limit => "limit",
        FailureKind::Crashed => "crashed",
        FailureKind::TimedOut => "timed out",
        FailureKind::OutOfMemory => "out of memory",
        FailureKind::WrongChecksum => "wrong answer",
        FailureKind::Protocol => "broke the protocol",
        FailureKind::Failed => "failed",
    }
}
