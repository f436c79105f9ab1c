//! Our figures and what others published of the same work, with their hardware.

use maud::html;

use super::view::{Section, View};
use crate::schema::{Published, Workload};

/// The section.
pub(super) fn section(view: &View<'_>) -> Option<Section> {
    let workloads = view.run.header.workloads.iter();
    let rows: Vec<(&Published, Option<String>)> = workloads
        .flat_map(|workload| workload.published.iter().map(move |one| (workload, one)))
        .map(|(workload, published)| (published, ours(view, workload, published)))
        .collect();
    if rows.iter().all(|(_, ours)| ours.is_none()) {
        return None;
    }
    let lead = html! {
        "The published figures are from other machines, years and methods, so compare orders of magnitude only. Ratios between lanes compare better than single figures."
    };
    let body = html! {
        div class="sheet" {
            div class="scroll" tabindex="0" role="group" aria-label="Published figures" {
                table data-name="published" {
                    thead { tr {
                        th class="words" scope="col" { "What" } th class="words" scope="col" { "Published" }
                        th class="words" scope="col" { "Here" } th class="words" scope="col" { "Where" }
                    } }
                    tbody {
                        @for (published, ours) in &rows {
                            tr {
                                th scope="row" { (published.what) }
                                td class="wrapped" { (published.figure) }
                                td class="words" {
                                    @match ours {
                                        Some(ours) => b { (ours) },
                                        None => span class="open" { "not measured in this run" },
                                    }
                                }
                                td class="wrapped open" { (published.source) }
                            }
                        }
                    }
                }
            }
            div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        }
    };
    Some(Section {
        title: "Compared with published figures",
        lead,
        body,
    })
}

fn ours(view: &View<'_>, workload: &Workload, published: &Published) -> Option<String> {
    let (_, rows) = view.main_case(workload)?;
    let share = published.factor;
    let texts: Vec<String> = published
        .lanes
        .iter()
        .filter_map(|lane| {
            let row = rows.iter().find(|row| row.lane == *lane)?;
            let figure = match row.is_resolved() {
                true => row.quantity.unit.text(row.estimate?.value * share),
                false => row.value_text(),
            };
            Some(format!("{lane} {figure}"))
        })
        .collect();
    let halved = if (share - 1.0).abs() > f64::EPSILON {
        " (half a round trip)".to_owned()
    } else {
        String::new()
    };
    (!texts.is_empty()).then(|| format!("{}{halved}", texts.join(", ")))
}
