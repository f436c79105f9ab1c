//! The cost of an operation over the number of tasks.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::view::{Section, View, capital};
use super::{figures, table};
use crate::analysis::{Case, FEWEST_TASKS, Growth};
use crate::format;

/// `None` if no workload was measured at enough task counts.
pub(super) fn section(view: &View<'_>) -> Option<Section> {
    if view.analysis.growth.is_empty() {
        return None;
    }
    let mut charts: BTreeMap<(usize, &Case), Vec<&Growth>> = BTreeMap::new();
    let place = |id: &str| {
        let ids = view.run.header.workloads.iter().map(|one| one.id.as_str());
        ids.into_iter()
            .position(|known| known == id)
            .unwrap_or(usize::MAX)
    };
    for growth in &view.analysis.growth {
        charts
            .entry((place(&growth.workload), &growth.case))
            .or_default()
            .push(growth);
    }
    let worse: Vec<&Growth> = view
        .analysis
        .growth
        .iter()
        .filter(|growth| growth.is_worse_than_linear())
        .collect();
    let lead = html! {
        "The cost of one operation against the number of tasks. Where a line is level, the total grows in proportion to the tasks; where it rises, the total grows faster. "
        @match worse.len() {
            0 => "Nothing clearly grows faster than the number of tasks.",
            count => { b { (count) } (if count == 1 { " curve grows" } else { " curves grow" }) " faster than the number of tasks." }
        }
    };
    let body = html! {
        @for growths in charts.values() {
            div class="sheet" {
                @let first = growths[0];
                @let title = view.run.workload(&first.workload).map_or("", |one| &one.title);
                h3 { (title) @let case = view.case_text(&first.workload, &first.case); @if !case.is_empty() { " · " (case) } }
                (figures::growth(view, title, growths))
                (exponents(view, growths))
            }
        }
    };
    Some(Section {
        title: "How costs grow",
        lead,
        body,
    })
}

fn exponents(view: &View<'_>, growths: &[&Growth]) -> Markup {
    let first = growths[0];
    let counts: std::collections::BTreeSet<u64> = growths
        .iter()
        .flat_map(|growth| growth.points.iter().map(|point| point.0))
        .collect();
    let name = format!("growth-{}", first.workload);
    let has_exponents = growths.iter().any(|growth| growth.exponent.is_some());
    html! {
        div class="scroll" tabindex="0" role="group" aria-label=(capital(&first.quantity.title)) {
            table data-name=(name) {
                caption {
                    (capital(&first.quantity.title)) " at each number of tasks. "
                    @if has_exponents {
                        "The exponent is that of the total cost from " (format::count(FEWEST_TASKS)) " tasks on: 1 is proportional."
                    } @else {
                        "There are too few numbers from " (format::count(FEWEST_TASKS)) " on for an exponent."
                    }
                    @if growths.iter().any(|growth| growth.points.iter().any(|(_, estimate)| estimate.value <= 0.0)) {
                        " ≈ 0: too small to measure here."
                    }
                }
                thead { tr {
                    th class="words" scope="col" { "Lane" }
                    @for count in &counts { th scope="col" { (format::count(*count)) } }
                    @if has_exponents {
                        th scope="col" { "Exponent" } th scope="col" { "95% interval" }
                        th class="words" scope="col" { "Verdict" }
                    }
                } }
                tbody {
                    @for growth in growths {
                        tr data-lane=(growth.lane) {
                            th scope="row" { (table::lane(view, &growth.lane)) }
                            @for count in &counts {
                                @match growth.points.iter().find(|point| point.0 == *count) {
                                    Some((_, estimate)) if estimate.value > 0.0 => td { (growth.quantity.unit.text(estimate.value)) },
                                    Some(_) => td class="none" title="too small to measure here" { "≈ 0" },
                                    None => td class="none" { "–" },
                                }
                            }
                            @if has_exponents {
                            @match &growth.exponent {
                                Some(exponent) => {
                                    td { (format!("{:.2}", exponent.value)) }
                                    td class="open" {
                                        @if let Some(interval) = exponent.interval {
                                            (format!("{:.2} – {:.2}", interval.low, interval.high))
                                        }
                                    }
                                }
                                None => td class="none" colspan="2" { "too few points" },
                            }
                            @if growth.is_worse_than_linear() {
                                td class="words bad" { "grows faster than the tasks" }
                            } @else {
                                td class="words open" {
                                    @if growth.exponent.is_some() { "no faster growth found" }
                                }
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
