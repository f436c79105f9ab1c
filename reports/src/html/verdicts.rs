//! All ratios of a run at a glance.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::view::{Section, View, factor, ratio_text};
use crate::analysis::Row;
use crate::stats::Verdict;
use crate::stats::geometric::means_over_intersection;

pub(super) fn section(view: &View<'_>) -> Option<Section> {
    let lanes: Vec<&str> = view
        .run
        .header
        .lanes
        .iter()
        .map(|lane| lane.name.as_str())
        .filter(|lane| {
            view.analysis
                .rows
                .iter()
                .any(|row| row.lane == *lane && row.estimate.is_some())
        })
        .collect();
    if lanes.len() < 2 {
        return None;
    }
    let reference = &view.analysis.reference_lane;
    let lead = html! {
        "Each cell compares its lane with " (view.a_task(reference)) ": ▲ better by that factor or percentage, ▼ worse, ≈ no difference that matters, ? too noisy to say. Of a rate, ▼ 30% says that " (view.a_task(reference)) " has a rate 30% higher. "
        "Where " (view.a_task(reference)) " has no figure, the cells show the figures themselves. Click a workload for its figures."
    };
    let body = html! {
        (filters(&lanes))
        div class="sheet" {
            div class="scroll" tabindex="0" role="group" aria-label="All ratios" {
                table class="heat" data-name="verdicts" {
                    caption { "Ratios to the lane “" (reference) "”" }
                    thead {
                        tr {
                            th class="words" { "Workload" }
                            @for lane in &lanes { th scope="col" data-lane=(lane) { (lane) } }
                        }
                    }
                    tbody {
                        @for workload in &view.run.header.workloads {
                            @for (place, (case, rows)) in glance_rows(view, workload).into_iter().enumerate() {
                                tr data-workload=(workload.id) {
                                    @if place == 0 {
                                        th scope="row" {
                                            a href={"#q-" (workload.id)} { (workload.title) }
                                            @if !case.is_empty() { small { (case) } }
                                        }
                                    } @else {
                                        th class="again" scope="row" { (case) }
                                    }
                                    @for lane in &lanes {
                                        (glance(rows.iter().find(|row| row.lane == *lane).copied(), lane, reference))
                                    }
                                }
                            }
                        }
                    }
                    (mean_row(view, &lanes))
                }
            }
        }
    };
    Some(Section {
        title: "All comparisons at a glance",
        lead,
        body,
    })
}

/// The two ends of a sweep of three or more cases, else the first six cases.
fn glance_rows<'a>(
    view: &View<'a>,
    workload: &crate::schema::Workload,
) -> Vec<(String, Vec<&'a Row>)> {
    let cases: Vec<_> = view.first_rows(workload).into_iter().collect();
    let several = cases.len() > 1;
    let axis = View::counted_axis(workload, cases.iter().map(|(case, _)| *case));
    let picked: Vec<_> = match (axis, cases.len()) {
        (Some(_), 3..) => {
            let last = cases.len() - 1;
            cases
                .into_iter()
                .enumerate()
                .filter(|(i, _)| *i == 0 || *i == last)
                .map(|(_, c)| c)
                .collect()
        }
        _ => cases.into_iter().take(6).collect(),
    };
    picked
        .into_iter()
        .map(|(case, rows)| {
            let text = if several {
                view.case_text(&workload.id, case)
            } else {
                String::new()
            };
            (text, rows)
        })
        .collect()
}

/// The class and the text of a cell. `as_cost` is the ratio, inverted if a higher figure is better.
pub(super) fn sign(verdict: Verdict, as_cost: f64) -> (String, String) {
    match verdict {
        Verdict::Faster => (
            format!("b{}", shade(1.0 / as_cost)),
            format!("▲ {}", factor(1.0 / as_cost)),
        ),
        Verdict::Slower => (
            format!("w{}", shade(as_cost)),
            format!("▼ {}", factor(as_cost)),
        ),
        Verdict::Same => ("open".to_owned(), "≈".to_owned()),
        Verdict::CannotTell => ("open".to_owned(), "?".to_owned()),
    }
}

fn glance(row: Option<&Row>, lane: &str, reference: &str) -> Markup {
    let Some(row) = row else {
        return html! { td class="none" data-lane=(lane) { "–" } };
    };
    if lane == reference {
        return html! { td class="none" data-lane=(lane) title=(row.interval_text()) { (row.value_text()) } };
    }
    let Some(standing) = &row.standing else {
        return html! { td class="none" data-lane=(lane) title=(row.interval_text()) { (row.value_text()) } };
    };
    let as_cost = row.quantity.as_cost(standing.ratio).value;
    let (class, text) = sign(standing.verdict, as_cost);
    let why = match standing.verdict {
        Verdict::CannotTell => "; more processes may decide it (--budget, --processes)",
        _ => "",
    };
    let title = format!(
        "{}: {}, {}{why}",
        row.lane,
        row.value_text(),
        ratio_text(row, reference)
    );
    html! { td class=(class) data-lane=(lane) title=(title) { (text) } }
}

/// Four shades: for factors up to 1.5, 4, 20 and above.
pub(super) fn shade(factor: f64) -> u8 {
    match factor {
        ..1.5 => 1,
        ..4.0 => 2,
        ..20.0 => 3,
        _ => 4,
    }
}

/// The geometric mean of the ratios over the cells that all lanes have; below 1 is better.
fn mean_row(view: &View<'_>, lanes: &[&str]) -> Markup {
    let sides: Vec<BTreeMap<_, f64>> = lanes
        .iter()
        .map(|lane| {
            let rows = view
                .analysis
                .rows
                .iter()
                .filter(|row| row.lane == *lane && row.quantity.rank == 0);
            rows.filter_map(|row| {
                let value = row.estimate?.value;
                let as_cost = match row.quantity.higher_is_better {
                    true => 1.0 / value,
                    false => value,
                };
                Some(((&row.workload, &row.case), as_cost))
            })
            .collect()
        })
        .collect();
    let reference = lanes
        .iter()
        .position(|lane| *lane == view.analysis.reference_lane);
    let (Some((means, count)), Some(reference)) = (means_over_intersection(&sides), reference)
    else {
        return html! {};
    };
    // The mean of one case is its ratio, shown above.
    if count < 2 {
        return html! {};
    }
    html! {
        tfoot {
            tr {
                th scope="row" {
                    "Geometric mean" small { "over the " (count) " cases that every lane has" }
                }
                @for (lane, mean) in lanes.iter().zip(&means) {
                    @let ratio = mean / means[reference];
                    @if *lane == view.analysis.reference_lane {
                        td class="none" data-lane=(lane) { "1" }
                    } @else if ratio < 1.0 {
                        td class={"b" (shade(1.0 / ratio))} data-lane=(lane) { "▲ " (factor(1.0 / ratio)) }
                    } @else {
                        td class={"w" (shade(ratio))} data-lane=(lane) { "▼ " (factor(ratio)) }
                    }
                }
            }
        }
    }
}

/// The URL keeps the state of the filters.
fn filters(lanes: &[&str]) -> Markup {
    html! {
        div class="filters" role="group" aria-label="Filters" {
            label { "Find " input id="find" type="search" placeholder="spawn, memory, …" title="Find a workload (/)"; }
            @for lane in lanes {
                label { input type="checkbox" checked data-filter=(lane); (lane) }
            }
            button id="reset" type="button" { "Show all" }
        }
    }
}
