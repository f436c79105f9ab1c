//! The questions, each with chart, table and the costs that the figures include.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::view::{Section, View};
use super::{figures, offered, table};
use crate::analysis::{Case, Curve, LedgerRow, RATE, Row, is_floor};
use crate::format;
use crate::schema::Workload;
use crate::stats::Estimate;
use crate::stats::curve::Fit;
use crate::stats::ledger::Check;

const MOST_CHARTS: usize = 6;

const MOST_CASES: usize = 3;

pub(super) fn section(view: &View<'_>) -> Option<Section> {
    let mut groups: Vec<(&str, Vec<&Workload>)> = Vec::new();
    for workload in &view.run.header.workloads {
        if view.analysis.rows_of(&workload.id).next().is_none() {
            continue;
        }
        let group = workload.group();
        match groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, members)) => members.push(workload),
            None => groups.push((group, vec![workload])),
        }
    }
    let is_lone = match groups.as_slice() {
        [] => return None,
        [(_, members)] => members.len() == 1,
        _ => false,
    };
    let lead =
        html! { "Open one for its chart, its table, and what a figure includes and leaves out." };
    let body = html! {        @for (group, members) in groups {
            @let known = view.run.header.groups.iter().find(|known| known.id == group);
            div data-group=(group) {
                h3 class="group" id={"g-" (group)} {
                    (known.map_or(group, |known| &known.title))
                }
                @if let Some(known) = known { p class="lead" { (known.lead) } }
                @for workload in members { (one(view, workload, is_lone)) }
            }
        }
    };
    Some(Section {
        title: "Every question, with its figures",
        lead,
        body,
    })
}

fn one(view: &View<'_>, workload: &Workload, is_open: bool) -> Markup {
    let rows: Vec<&Row> = view.analysis.rows_of(&workload.id).collect();
    let (first, others): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.quantity.rank == 0);
    let name = |text: &str| format!("{}{text}", workload.id);
    html! {
        details class="sheet question" id={"q-" (workload.id)} data-workload=(workload.id) open[is_open] {
            summary {
                h4 class="title" { (if workload.title.is_empty() { &workload.id } else { &workload.title }) }
                span class="hint" { (best(view, workload)) }
            }
            p class="lead" {
                (workload.question) " "
                @if !workload.level.is_empty() { span class="tag" { (workload.level) } " " }
                code { (workload.id) }
            }
            (charts(view, workload))
            (offered::load_section(view, workload))
            (main_table(view, workload, &first))
            (ledger_table(view, workload))
            (fit_table(view, workload))
            @if !others.is_empty() {
                details {
                    summary { "Further figures of this workload" }
                    (table::figures(view, &name("-more"), further_title(&others), &others))
                }
            }
            (raw(view, workload))
            (notes(view, workload))
        }
    }
}

/// The title of a table: its quantity, if there is only one.
fn further_title<'a>(rows: &[&'a Row]) -> &'a str {
    match rows {
        [first, others @ ..] if others.iter().all(|row| row.quantity == first.quantity) => {
            &first.quantity.title
        }
        _ => "Further figures",
    }
}

fn best(view: &View<'_>, workload: &Workload) -> String {
    let rows = view
        .main_case(workload)
        .map_or_else(Vec::new, |(_, rows)| rows);
    let figures = rows
        .into_iter()
        .filter(|row| row.is_resolved() && !is_floor(&row.lane))
        .filter_map(|row| Some((row, row.estimate?.value)));
    let figures: Vec<(&Row, f64)> = figures.collect();
    let best = figures
        .iter()
        .min_by(|(row, a), (_, b)| match row.quantity.higher_is_better {
            true => b.total_cmp(a),
            false => a.total_cmp(b),
        });
    let Some((best, _)) = best else {
        return "no figure".to_owned();
    };
    if best.quantity.id != RATE {
        return format!("best: {}, {}", best.lane, best.value_text());
    }
    let others = figures
        .iter()
        .filter(|(row, _)| row.lane != best.lane && row.overlaps(best));
    let others: Vec<&str> = others.map(|(row, _)| row.lane.as_str()).collect();
    let figure = format!("{}, {}", best.lane, best.whole_text());
    match others.is_empty() {
        true => format!("best: {figure}"),
        false => format!(
            "{figure}; the intervals of {} overlap it",
            others.join(", ")
        ),
    }
}

/// If there are many cases, a short table of values comes first, and the whole table is folded.
fn main_table(view: &View<'_>, workload: &Workload, rows: &[&Row]) -> Markup {
    let caption = caption(view, workload, rows);
    let cases: BTreeSet<&Case> = rows
        .iter()
        .filter(|row| row.estimate.is_some())
        .map(|row| &row.case)
        .collect();
    if cases.len() <= MOST_CASES {
        return table::figures(view, &workload.id, &caption, rows);
    }
    html! {
        (table::matrix(view, &format!("{}-values", workload.id), &caption, rows))
        details {
            summary { "All " (cases.len()) " cases with intervals, ratios and verdicts" }
            (table::figures(view, &workload.id, &caption, rows))
        }
    }
}

fn caption(view: &View<'_>, workload: &Workload, rows: &[&Row]) -> String {
    let title = rows.first().map_or("", |row| row.quantity.title.as_str());
    let fixed = view.fixed_text(&workload.id);
    let with = if fixed.is_empty() {
        String::new()
    } else {
        format!(", with {fixed}")
    };
    format!("{title}{with}")
}

fn charts(view: &View<'_>, workload: &Workload) -> Markup {
    let ledgers: Vec<&LedgerRow> = view
        .analysis
        .ledgers
        .iter()
        .filter(|row| row.workload == workload.id)
        .collect();
    if !ledgers.is_empty() {
        let mut cases: BTreeMap<&Case, Vec<&LedgerRow>> = BTreeMap::new();
        for row in ledgers {
            cases.entry(&row.case).or_default().push(row);
        }
        return html! {
            @for (case, rows) in cases.into_iter().take(MOST_CHARTS) {
                (figures::memory(view, workload, case, &rows))
            }
        };
    }
    let own: Vec<&Curve> = view
        .analysis
        .curves
        .iter()
        .filter(|curve| curve.workload == workload.id)
        .collect();
    if own.iter().any(|curve| curve.points.len() > 1) {
        return figures::speedups(view, workload, &own);
    }
    let cases = view.first_rows(workload);
    let swept = View::counted_axis(workload, cases.keys().copied()).filter(|axis| {
        let values = cases.keys().filter_map(|case| case.0.get(*axis));
        values.collect::<BTreeSet<_>>().len() > 2
    });
    if let Some(axis) = swept {
        let latency = cases
            .values()
            .flatten()
            .any(|row| row.quantity.id.starts_with("latency_ns"));
        let quantity = if latency {
            "latency_ns_p99"
        } else {
            cases
                .values()
                .flatten()
                .next()
                .map_or("time", |row| row.quantity.id.as_str())
        };
        return html! {
            (figures::over_axis(view, workload, axis, quantity))
            @if latency && let Some((case, _)) = view.main_case(workload) {
                (figures::percentiles(view, workload, case))
            }
        };
    }
    html! {
        @for (case, rows) in cases.iter().take(MOST_CHARTS) {
            (figures::dots_of_case(view, case, rows))
        }
        @if let Some((case, rows)) = view.main_case(workload)
            && rows.iter().any(|row| row.quantity.id.starts_with("latency_ns")) {
            (figures::percentiles(view, workload, case))
        }
    }
}

fn ledger_table(view: &View<'_>, workload: &Workload) -> Markup {
    let rows: Vec<&LedgerRow> = view
        .analysis
        .ledgers
        .iter()
        .filter(|row| row.workload == workload.id)
        .collect();
    let Some(first) = rows.first() else {
        return html! {};
    };
    let bytes = |value: f64| {
        if value == 0.0 {
            "0".to_owned()
        } else {
            format::bytes(value)
        }
    };
    // A check that is too coarse or disturbed is shown as n/a.
    let checked = |check: &Check| match check.closure_ratio {
        Some(_) => bytes(check.estimate.value),
        None => "n/a".to_owned(),
    };
    html! {
        div class="scroll" tabindex="0" role="group" aria-label="Memory ledger" {
            table data-name={(workload.id) "-ledger"} {
                caption {
                    "The memory of one task, part by part; the figure is the sum. It is checked against the charge of the memory control group and the decrease of the host’s available memory"
                }
                thead { tr {
                    th class="words" scope="col" { "Lane" }
                    @for (part, _) in &first.ledger.parts { th scope="col" { (part.title()) } }
                    th scope="col" { "Sum" }
                    th scope="col" { "Control group" }
                    th scope="col" title="MemAvailable, and the free pages in the per-CPU lists" { "Host" }
                    th scope="col" title="The sum as a share of the control group’s charge, or, without one, of the host’s decrease; n/a if that varied too much for a check" { "Sum ÷ check" }
                    th scope="col" title="Reserved address space; only touched pages use memory" { "Virtual" }
                    th scope="col" title="How many numbers of tasks were measured, and the largest" { "Task counts" }
                } }
                tbody {
                    @for row in &rows {
                        @let case = view.case_text(&workload.id, &row.case);
                        tr data-lane=(row.lane) {
                            th scope="row" { (table::lane(view, &row.lane)) @if !case.is_empty() { " · " (case) } }
                            @for (_, part) in &row.ledger.parts { td { (bytes(part.value)) } }
                            td { b { (bytes(row.ledger.sum.value)) } }
                            td class="open" { (row.ledger.group.as_ref().map_or_else(|| "n/a".to_owned(), checked)) }
                            td class="open" { (checked(&row.ledger.host)) }
                            td { (row.ledger.check().closure_ratio.map_or_else(|| "n/a".to_owned(), format::percent)) }
                            td class="open" { (bytes(row.ledger.virtual_bytes)) }
                            td class="open" {
                                (row.ledger.distinct_count) ", to " (format::count(row.ledger.largest_count))
                            }
                        }
                    }
                }
            }
        }
        div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        @if first.ledger.distinct_count < 2 {
            p class="notes" {
                "Only one number of tasks was measured, so each figure contains a share of the lane’s fixed cost."
            }
        }
    }
}

fn fit_table(view: &View<'_>, workload: &Workload) -> Markup {
    let own: Vec<&Curve> = view
        .analysis
        .curves
        .iter()
        .filter(|curve| curve.workload == workload.id)
        .collect();
    if own.is_empty() {
        return html! {};
    }
    if own.iter().all(|curve| curve.usl.is_err()) {
        let reason = own.iter().find_map(|curve| curve.usl.as_ref().err());
        return html! {
            p class="notes" {
                b { "Scaling laws: " }
                (reason.map_or("", String::as_str)) "."
            }
        };
    }
    let share = |estimate: &Estimate| match estimate.interval {
        Some(interval) => format!(
            "{} ({} – {})",
            format::percent(estimate.value),
            format::percent(interval.low),
            format::percent(interval.high)
        ),
        None => format::percent(estimate.value),
    };
    let worst = |fit: &Fit| {
        format::percent(
            fit.residuals
                .iter()
                .map(|residual| residual.1.abs())
                .fold(0.0, f64::max),
        )
    };
    html! {
        div class="scroll" tabindex="0" role="group" aria-label="Scaling laws" {
            table data-name={(workload.id) "-laws"} {
                caption { "Scaling laws fitted to the points" }
                thead { tr {
                    th class="words" scope="col" { "Lane" }
                    th scope="col" { "Amdahl: serial share" }
                    th scope="col" { "Worst residual" }
                    th scope="col" { "USL: contention σ" }
                    th scope="col" { "Coherency κ" }
                    th scope="col" { "Worst residual" }
                    th scope="col" title="With more workers than this, the law predicts less speed" { "Peak" }
                } }
                tbody {
                    @for curve in own {
                        @let case = view.case_text(&workload.id, &curve.case);
                        tr data-lane=(curve.lane) {
                            th scope="row" { (table::lane(view, &curve.lane)) @if !case.is_empty() { " · " (case) } }
                            @match &curve.amdahl {
                                Ok(fit) => { td { (share(&fit.contention)) } td class="open" { (worst(fit)) } }
                                Err(reason) => { td class="none" colspan="2" { (reason) } }
                            }
                            @match &curve.usl {
                                Ok(fit) => {
                                    td { (share(&fit.contention)) }
                                    td { (share(&fit.coherency)) }
                                    td class="open" { (worst(fit)) }
                                    td { (fit.peak_workers().map_or_else(|| "none found".to_owned(), |peak| peak_text(&peak))) }
                                }
                                Err(reason) => { td class="none" colspan="4" { (reason) } }
                            }
                        }
                    }
                }
            }
        }
        div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
    }
}

fn raw(view: &View<'_>, workload: &Workload) -> Markup {
    if !view.drawn.samples {
        return html! {
            p class="notes" { "The charts of every sample were left out to keep this file small; the samples are in the result file." }
        };
    }
    let Some((case, rows)) = view.main_case(workload) else {
        return html! {};
    };
    let Some(row) = rows.first() else {
        return html! {};
    };
    let drawn = figures::samples(view, workload, case, row);
    if drawn.0.is_empty() {
        return html! {};
    }
    let text = view.case_text(&workload.id, case);
    html! {
        details {
            summary { "Every sample" @if !text.is_empty() { " (" (text) ")" } }
            (drawn)
        }
    }
}

fn notes(view: &View<'_>, workload: &Workload) -> Markup {
    let meanings: Vec<_> = workload
        .parameters
        .iter()
        .filter(|(name, _)| {
            let used = |group: &&crate::schema::Group| group.workload == workload.id;
            view.run
                .groups
                .iter()
                .filter(used)
                .any(|group| group.parameters.contains_key(*name))
        })
        .collect();
    html! {
        div class="notes" {
            @if !workload.includes.is_empty() { p { b { "Includes: " } (workload.includes) } }
            @if !workload.leaves_out.is_empty() { p { b { "Leaves out: " } (workload.leaves_out) } }
            @if !meanings.is_empty() {
                p {
                    b { "Parameters: " }
                    @for (index, (name, meaning)) in meanings.iter().enumerate() {
                        @if index > 0 { "; " }
                        code { (name) } " " (meaning)
                    }
                }
            }
        }
    }
}

/// A peak with its interval, such as `21.8 (17 – 29)`.
fn peak_text(peak: &Estimate) -> String {
    let value = format::number(peak.value);
    peak.interval.map_or_else(String::new, |interval| {
        let ends = [interval.low, interval.high].map(format::number);
        format!("{value} ({})", format::range(&ends[0], &ends[1]))
    })
}
