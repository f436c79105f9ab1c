//! Can these figures be trusted: the noise floor, the taints, the failures.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::table;
use super::view::View;
use crate::analysis::Unit;
use crate::format;
use crate::schema::{Failure, Taint};

/// The most A/A pairs in the table; the furthest apart come first.
const MOST_PAIRS: usize = 40;

/// The section.
pub(super) fn section(view: &View<'_>) -> Option<Markup> {
    Some(html! {
        h2 { "Can these figures be trusted?" }
        p class="lead" { "What the host did meanwhile, how far apart equals are on it, and what could not be measured." }
        (taints(view))
        (warnings(view))
        (noise(view))
        (cross_checks(view))
        (failures(view))
        (readings(view))
    })
}

fn taints(view: &View<'_>) -> Markup {
    let mut kinds: BTreeMap<&str, Vec<&Taint>> = BTreeMap::new();
    for taint in &view.run.taints {
        kinds.entry(&taint.kind).or_default().push(taint);
    }
    html! {
        @if kinds.is_empty() {
            p class="alert calm" { b { "No taints." } " Nothing that was watched left its bound." }
        }
        @for (kind, taints) in kinds {
            div class="alert" {
                b { (kind.replace('_', " ")) }
                @let blocks: Vec<u64> = taints.iter().filter_map(|taint| taint.block_index).collect();
                @if !blocks.is_empty() { " · " (blocks.len()) " of " (view.run.header.design.blocks_count) " blocks" }
                @let worst = taints.iter().max_by(|a, b| a.value.unwrap_or(0.0).total_cmp(&b.value.unwrap_or(0.0)));
                @if let Some(worst) = worst { p { (worst.message) } }
            }
        }
    }
}

fn warnings(view: &View<'_>) -> Markup {
    html! {
        @for warning in &view.run.warnings {
            div class="alert" { b { "While reading the file" } p { (warning) } }
        }
    }
}

fn noise(view: &View<'_>) -> Markup {
    let mut pairs: Vec<_> = view.analysis.noise.pairs.iter().collect();
    pairs.sort_by(|a, b| {
        b.ratio
            .value
            .ln()
            .abs()
            .total_cmp(&a.ratio.value.ln().abs())
    });
    let Some(largest) = view.analysis.noise.largest() else {
        return html! {
            div class="alert" {
                b { "No A/A pair" }
                p { "No lane was run against itself, so this host’s noise floor is unknown and the threshold alone bounds the verdicts." }
            }
        };
    };
    html! {
        div class="sheet" {
            h3 { "A/A: a lane against itself" }
            p class="lead" {
                "In the same design and order as every comparison. The largest distance of equals was "
                b { (format::percent(largest)) } "; no verdict is given below the floor of its workload."
            }
            div class="scroll" tabindex="0" role="group" aria-label="A/A pairs" {
                table data-name="noise" {
                    caption { "The " (pairs.len().min(MOST_PAIRS)) " pairs that are furthest apart, of " (pairs.len()) }
                    thead { tr {
                        th class="words" scope="col" { "Workload" } th class="words" scope="col" { "Figure" }
                        th class="words" scope="col" { "Lane" } th scope="col" { "Second ÷ first" } th scope="col" { "95% interval" }
                    } }
                    tbody {
                        @for pair in pairs.iter().take(MOST_PAIRS) {
                            @let case = view.case_text(&pair.workload, &pair.case);
                            tr data-lane=(pair.lane) {
                                th scope="row" { (pair.workload) @if !case.is_empty() { " · " (case) } }
                                td class="words" { (pair.quantity.title) }
                                td class="words" { (table::lane(view, &pair.lane)) }
                                td { (times(pair.ratio.value)) }
                                td class="open" {
                                    @if let Some(interval) = pair.ratio.interval { (times(interval.low)) " – " (times(interval.high)) }
                                }
                            }
                        }
                    }
                }
            }
            div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        }
    }
}

/// Near 1 three digits say too little.
fn times(ratio: f64) -> String {
    format!("{ratio:.3}×")
}

/// What another tool measured beside what we did.
fn cross_checks(view: &View<'_>) -> Markup {
    let checks = view.run.cross_checks.iter();
    let pairs: Vec<_> = checks
        .filter_map(|check| {
            let (_, rows) = view.main_case(view.run.workload(&check.workload)?)?;
            let row = rows.into_iter().find(|row| row.lane == check.lane)?;
            Some((check, row, row.estimate?))
        })
        .filter(|(_, row, _)| row.quantity.unit == Unit::Nanoseconds)
        .collect();
    if pairs.is_empty() {
        return html! {};
    }
    let time = |value| Unit::Nanoseconds.text(value);
    html! {
        div class="sheet" {
            h3 { "Another tool’s figures beside these" }
            p class="lead" { "One process in one go against many fresh processes in random order: where the intervals are apart, the process matters to the figure." }
            div class="scroll" tabindex="0" role="group" aria-label="Cross-checks" {
                table data-name="cross-checks" {
                    thead { tr {
                        th class="words" scope="col" { "Benchmark" } th scope="col" { "Its figure" } th scope="col" { "95% interval" }
                        th scope="col" { "Ours" } th scope="col" { "95% interval" } th class="words" scope="col" { "Agreement" }
                    } }
                    tbody {
                        @for (check, row, estimate) in &pairs {
                            tr data-lane=(row.lane) {
                                th scope="row" { (check.source) " " (check.name) }
                                td { (time(check.value_ns)) }
                                td class="open" { (time(check.low_ns)) " – " (time(check.high_ns)) }
                                td { (row.value_text()) }
                                td class="open" { (row.interval_text()) }
                                @match estimate.interval {
                                    Some(ours) if ours.high < check.low_ns || check.high_ns < ours.low =>
                                        td class="words bad" { "they disagree by " (format::times(check.value_ns / estimate.value)) },
                                    Some(_) => td class="words open" { "they agree" },
                                    None => td class="words open" { "no interval" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn failures(view: &View<'_>) -> Markup {
    let mut cells: BTreeMap<(&str, &str, String), (usize, &Failure)> = BTreeMap::new();
    for failure in &view.run.failures {
        let parameters = crate::analysis::Case(failure.parameters.clone());
        let key = (
            failure.workload.as_str(),
            failure.lane.as_str(),
            parameters.to_string(),
        );
        cells.entry(key).or_insert((0, failure)).0 += 1;
    }
    if cells.is_empty() {
        return html! { p class="alert calm" { b { "No failures." } " Every cell that was tried gave its samples." } };
    }
    html! {
        div class="sheet" {
            h3 { "What could not be measured" }
            div class="scroll" tabindex="0" role="group" aria-label="Failures" {
                table data-name="failures" {
                    caption { "A lane that fails costs its own cell, never the run" }
                    thead { tr {
                        th class="words" scope="col" { "Workload" } th class="words" scope="col" { "Lane" }
                        th class="words" scope="col" { "Kind" } th class="words" scope="col" { "What happened" } th scope="col" { "Times" }
                    } }
                    tbody {
                        @for ((workload, lane, case), (count, failure)) in &cells {
                            tr data-lane=(lane) {
                                th scope="row" { (workload) @if !case.is_empty() { " · " (case) } }
                                td class="words" { (lane) }
                                td class={"words " (if failure.kind.is_expected() { "open" } else { "bad" })} { (table::kind(failure.kind)) }
                                td class="wrapped" { (failure.message) }
                                td { (count) }
                            }
                        }
                    }
                }
            }
            div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        }
    }
}

/// The readings before, during and after, each with its range.
fn readings(view: &View<'_>) -> Markup {
    let mut ranges: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for sample in &view.run.environment {
        for (name, value) in &sample.readings {
            if let Some(value) = value.as_f64() {
                ranges.entry(name).or_default().push(value);
            }
        }
    }
    if ranges.is_empty() {
        return html! {};
    }
    html! {
        details {
            summary { "What the host was doing (" (view.run.environment.len()) " readings)" }
            div class="scroll" tabindex="0" role="group" aria-label="Readings" {
                table data-name="readings" {
                    thead { tr {
                        th class="words" scope="col" { "Reading" } th scope="col" { "First" } th scope="col" { "Least" } th scope="col" { "Most" } th scope="col" { "Last" }
                    } }
                    tbody {
                        @for (name, values) in ranges {
                            @let unit = Unit::of_name(name);
                            @let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                            @let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                            tr {
                                th scope="row" { (name) }
                                @for value in [values[0], least, most, values[values.len() - 1]] { td { (unit.text(value)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
