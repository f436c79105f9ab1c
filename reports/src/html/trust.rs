//! Whether the figures can be trusted: repeats, taints, failures.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::view::{Section, View, capital};
use super::{cross_check, table};
use crate::analysis::{NoisePair, Unit};
use crate::{failure, format, taints};

/// At most this many A/A pairs are not folded: those that differ most.
const MOST_PAIRS: usize = 10;

pub(super) fn section(view: &View<'_>) -> Option<Section> {
    let lead = html! { "What disturbed the run, how much repeated measurements differ, and what could not be measured." };
    let body = html! {
        (tainted(view))
        (warnings(view))
        (noise(view))
        (cross_check::sheet(view))
        (failures(view))
        (readings(view))
    };
    Some(Section {
        title: "How reliable are these figures?",
        lead,
        body,
    })
}

fn tainted(view: &View<'_>) -> Markup {
    let kinds = taints::by_kind(view.run);
    html! {
        @if kinds.is_empty() {
            p class="alert calm" { b { "No disturbances." } " Every reading stayed within its bounds." }
        }
        @for kind in kinds {
            div class="alert" {
                b { (kind.title) }
                " · " (kind.when())
                p { (capital(kind.meaning)) ". Worst reading: " (kind.message) }
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
    let Some(typical) = view.analysis.noise.typical() else {
        return html! {
            div class="alert" {
                b { "No A/A pair" }
                p { "No lane was measured twice as if it were two lanes, so the intervals are not tested." }
            }
        };
    };
    let (different_count, all) = view.analysis.noise.called_different();
    html! {
        div class="sheet" {
            h3 { "How much repeated measurements differ" }
            p class="lead" {
                "In an A/A pair one lane is measured twice, as if it were two lanes. Repeats differ by " b { (format::percent(typical)) }
                ", typically. The rules of this page call " b { (different_count) " of " (all) } " pairs different; it should be 0. "
                "Where pairs differ by more than their intervals allow, this page has widened the intervals of those figures."
            }
            (pairs_table(view, "noise", "Largest differences first", &pairs[..pairs.len().min(MOST_PAIRS)]))
            @if pairs.len() > MOST_PAIRS {
                details {
                    summary { "All " (pairs.len()) " pairs" }
                    (pairs_table(view, "noise-all", "All pairs", &pairs))
                }
            }
        }
    }
}

fn pairs_table(view: &View<'_>, name: &str, caption: &str, pairs: &[&NoisePair]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="group" aria-label=(caption) {
            table data-name=(name) {
                caption { (caption) }
                thead { tr {
                    th class="words" scope="col" { "Workload" } th class="words" scope="col" { "Figure" }
                    th class="words" scope="col" { "Lane" } th scope="col" { "Second ÷ first" } th scope="col" { "95% interval" }
                } }
                tbody {
                    @for pair in pairs {
                        @let case = view.case_text(&pair.workload, &pair.case);
                        tr data-lane=(pair.lane) {
                            th scope="row" { (pair.workload) @if !case.is_empty() { small { (case) } } }
                            td class="words" { (pair.quantity.title) }
                            td class="words" { (table::lane(view, &pair.lane)) }
                            td { (times(pair.ratio.value)) }
                            td class="open" {
                                @if let Some(interval) = pair.ratio.interval {
                                    (format::range(&times(interval.low), &times(interval.high)))
                                }
                            }
                        }
                    }
                }
            }
        }
        div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
    }
}

/// A ratio with three decimals, because [`format::times`] has too few near 1.
fn times(ratio: f64) -> String {
    format!("{ratio:.3}×")
}

#[derive(Default)]
struct Failed {
    places: BTreeSet<String>,
    count: usize,
}

fn failures(view: &View<'_>) -> Markup {
    let mut cells: BTreeMap<(bool, &str, &str, String), Failed> = BTreeMap::new();
    for failure in &view.run.failures {
        let (lane, kind) = (failure.lane.as_str(), failure.kind);
        let key = (
            kind.is_expected(),
            lane,
            table::kind(kind),
            failure::line(kind, &failure.message),
        );
        let failed = cells.entry(key).or_default();
        let case = crate::analysis::Case(failure.parameters.clone());
        let case = view.case_text(&failure.workload, &case);
        let colon = if case.is_empty() { "" } else { ": " };
        failed
            .places
            .insert(format!("{}{colon}{case}", failure.workload));
        failed.count += 1;
    }
    if cells.is_empty() {
        return html! { p class="alert calm" { b { "No failures." } " Every cell that was tried has its samples." } };
    }
    html! {
        div class="sheet" {
            h3 { "What could not be measured" }
            div class="scroll" tabindex="0" role="group" aria-label="Failures" {
                table class="prose" data-name="failures" {
                    caption { "A failure costs one cell; the rest of the run goes on" }
                    thead { tr {
                        th class="words" scope="col" { "Lane" } th class="words" scope="col" { "What happened" }
                        th class="words" scope="col" { "Where" } th scope="col" { "Times" }
                    } }
                    tbody {
                        @for ((expected, lane, kind, message), failed) in &cells {
                            tr data-lane=(lane) {
                                th scope="row" { (table::lane(view, lane)) }
                                td class="wrapped" {
                                    b class=(if *expected { "open" } else { "bad" }) { (capital(kind)) ":" }
                                    " " (message)
                                }
                                td class="wrapped open" { (failed.places.iter().cloned().collect::<Vec<_>>().join("; ")) }
                                td { (failed.count) }
                            }
                        }
                    }
                }
            }
            div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        }
    }
}

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
                                th scope="row" { (name.replace('_', " ")) }
                                @for value in [values[0], least, most, values[values.len() - 1]] { td { (unit.text(value)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
