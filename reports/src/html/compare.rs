//! The page of several runs: the facts in which they differ, then the ratios within each run as a
//! heat map, then the geometric means.

use maud::{Markup, html};

use super::shell;
use super::verdicts::sign;
use crate::compare::{Comparison, ComparisonCell, ComparisonRow};
use crate::format;

/// A comparison as one HTML document.
#[must_use]
pub fn render_comparison(comparison: &Comparison) -> String {
    let runs = &comparison.runs;
    let body = html! {
        header class="hero" id="top" {
            div class="wrap" {
                p class="eyebrow" { "threadbare · runs side by side" }
                h1 {
                    (runs.len()) " runs on "
                    @match comparison.machines_count() { 1 => "one machine", count => { (count) " machines" } }
                }
                p class="host" {
                    "Times of different machines are not compared. The page compares ratios: a lane’s figure ÷ that of “" (comparison.reference_lane)
                    "” on the same machine."
                }
            }
        }
        main id="main" class="wrap" {
            section id="differences" { (differences(comparison)) }
            section id="ratios" { (ratios(comparison)) }
            section id="means" { (means(comparison)) }
        }
    };
    let links = [
        ("#differences", "Differences"),
        ("#ratios", "Ratios"),
        ("#means", "Means"),
    ];
    let links = links.map(|(address, name)| (address.to_owned(), name.to_owned()));
    shell::page("threadbare: runs side by side", &links, &body)
}

fn differences(comparison: &Comparison) -> Markup {
    html! {
        h2 { "What differs between them" }
        div class="sheet" {
            div class="scroll" tabindex="0" role="group" aria-label="Differences" {
                table data-name="differences" {
                    thead { tr {
                        th class="words" scope="col" { "Fact" }
                        @for run in &comparison.runs { th class="words" scope="col" { (run.label) } }
                    } }
                    tbody {
                        @for difference in &comparison.differences {
                            tr {
                                th scope="row" { (difference.name) }
                                @for value in &difference.values {
                                    td class="wrapped" { @match value { Some(value) => (value), None => span class="none" { "unknown" } } }
                                }
                            }
                        }
                        @if comparison.differences.is_empty() {
                            tr { td class="words" colspan=(comparison.runs.len() + 1) { "No recorded fact differs." } }
                        }
                    }
                }
            }
        }
        @for run in &comparison.runs {
            @for warning in &run.warnings { p class="alert" { b { (run.label) } " " (warning) } }
        }
    }
}

fn ratios(comparison: &Comparison) -> Markup {
    let lanes = comparison.means.iter().map(|mean| mean.lane.as_str());
    let lanes: Vec<&str> = lanes.collect();
    html! {
        h2 { "Ratios within each machine" }
        p class="lead" { "▲ better than " (comparison.reference_lane) " on that machine, ▼ worse, ≈ no difference that matters, ? too noisy to say." }
        div class="filters" role="group" aria-label="Filters" {
            label { "Find " input id="find" type="search" placeholder="spawn, tokio, …" title="Find a workload or a lane (/)"; }
            @for lane in &lanes { label { input type="checkbox" checked data-filter=(lane); (lane) } }
            button id="reset" type="button" { "Show all" }
        }
        div class="sheet" {
            div class="scroll" tabindex="0" role="group" aria-label="Ratios" {
                table class="heat" data-name="ratios" {
                    thead { tr {
                        th class="words" scope="col" { "Lane" }
                        @for run in &comparison.runs { th scope="col" { (run.label) } }
                    } }
                    tbody {
                        @for case in comparison.rows.chunk_by(is_of_one_case) {
                            // The words that the page's search compares.
                            @let found_by = format!("{} {}", case[0].workload, case[0].title.to_lowercase());
                            tr class="case" data-workload={(found_by) @for row in case { " " (row.lane) }} {
                                th colspan=(comparison.runs.len() + 1) scope="rowgroup" {
                                    (case[0].title)
                                    @if !case[0].case_text.is_empty() { " · " (case[0].case_text) }
                                }
                            }
                            @for row in case {
                                tr data-workload={(found_by) " " (row.lane)} data-lane=(row.lane) {
                                    th scope="row" { (row.lane) }
                                    @for cell in &row.cells { (cell_of(cell.as_ref())) }
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

fn is_of_one_case(row: &ComparisonRow, other: &ComparisonRow) -> bool {
    (&row.workload, &row.case) == (&other.workload, &other.case)
}

fn cell_of(cell: Option<&ComparisonCell>) -> Markup {
    let Some(cell) = cell else {
        return html! { td class="none" { "missing" } };
    };
    let title = format!("{}; ratio {}", cell.value_text, format::times(cell.ratio));
    let (class, text) = sign(cell.verdict, cell.turned_ratio);
    html! { td class=(class) title=(title) { (text) } }
}

fn means(comparison: &Comparison) -> Markup {
    html! {
        h2 { "Geometric means" }
        p class="lead" { "The geometric mean of a lane’s ratios to " (comparison.reference_lane) ", over the cases that every run has." }
        div class="sheet" {
            div class="scroll" tabindex="0" role="group" aria-label="Means" {
                table data-name="means" {
                    thead { tr {
                        th class="words" scope="col" { "Lane" }
                        @for run in &comparison.runs { th scope="col" { (run.label) } }
                        th scope="col" { "Cases" }
                        th scope="col" { "Missing somewhere" }
                    } }
                    tbody {
                        @for mean in &comparison.means {
                            tr data-lane=(mean.lane) {
                                th scope="row" { (mean.lane) }
                                @for value in &mean.ratios { td { (format::times(*value)) } }
                                @if mean.ratios.is_empty() {
                                    td class="bad" colspan=(comparison.runs.len()) { "left out: some run lacks this lane" }
                                }
                                td class="open" { (mean.cases_count) }
                                td class={(if mean.missing_count > 0 { "bad" } else { "open" })} { (mean.missing_count) }
                            }
                        }
                    }
                }
            }
        }
    }
}
