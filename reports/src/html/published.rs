//! Our figures and published ones of the same work.

use maud::html;

use super::view::{Section, View};
use crate::published::{AGREEMENT_FACTOR, Agreement, judge};

pub(super) fn section(view: &View<'_>) -> Option<Section> {
    let judged = judge(view.run, view.analysis);
    if judged.is_empty() {
        return None;
    }
    let lead = html! {
        "The published figures are from other machines, years and methods. So only ratios are compared: they agree if both are within a factor of " (AGREEMENT_FACTOR) "."
    };
    let body = html! {
        div class="sheet" {
            div class="scroll" tabindex="0" role="group" aria-label="Published figures" {
                table data-name="published" {
                    thead { tr {
                        th class="words" scope="col" { "What" } th class="words" scope="col" { "Published" }
                        th class="words" scope="col" { "Here" } th class="words" scope="col" { "Verdict" }
                        th class="words" scope="col" { "Source and explanation" }
                    } }
                    tbody {
                        @for one in &judged {
                            tr {
                                th scope="row" { (one.figure.what) }
                                td class="words" { (one.figure.figure) @if one.figure.under.is_some() { br; b { (one.figure.ratio_text()) } } }
                                td class="words" { (one.ours) @if one.ratio.is_some() { br; b { (one.ratio_text()) } } }
                                td class={"words " (tone(one.agreement))} { (one.verdict_text()) }
                                td class="wrapped open" {
                                    (one.figure.reading) " " (one.figure.program) "; " (one.figure.hardware) ". "
                                    (one.figure.source.replace("https://", ""))
                                }
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

fn tone(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Agrees => "good",
        Agreement::Differs => "bad",
        Agreement::CannotBeCompared => "open",
    }
}
