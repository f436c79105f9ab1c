//! The index: a row for each machine and setup, a column for each question.

use maud::{Markup, html};

use super::{
    choices, columns, document, facts_of, figure, file_of, hero, row_head, sheet, signs, words,
};
use crate::site::{Collection, Figure, Question, Setup};
use crate::stats::Verdict;
use crate::verify::Standing;

pub(super) fn page(collection: &Collection) -> String {
    let count = collection.machines.len();
    let title = match count {
        1 => "What is the cheapest on one machine".to_owned(),
        count => format!("What is the cheapest on {count} machines"),
    };
    let text = html! {
        (collection.runs_count()) " runs in " (collection.setups().count()) " setups. "
        "A row is a machine in one setup: kernel, mitigations, releases, settings. Each cell has the best lane (and after ≈ the lanes with the same verdict whose intervals overlap), its figure with its interval, and its ratio to "
        (collection.reference_lane) ". Times of different machines stand side by side; nothing is averaged over machines."
    };
    let body = html! {
        (hero(&title, &text))
        main id="main" class="wrap broad" {
            section id="machines" { (machines(collection)) }
            section id="two" class="tool" { (two()) }
            section id="nearest" class="tool" { (nearest()) }
            @if !collection.apart.is_empty() { section id="apart" { (apart(collection)) } }
        }
    };
    document(collection, "threadbare: many machines", "", &body)
}

fn machines(collection: &Collection) -> Markup {
    let names = collection.questions.iter();
    let table = html! {
        table class="machines" data-name="machines" data-sorts {
            thead { tr {
                th class="words" scope="col" { "Machine" }
                @for question in &collection.questions { (head(question)) }
                th scope="col" { "Runs" }
                th class="words" scope="col" { "Last run" }
            } }
            tbody {
                @for (machine, setup) in collection.setups() {
                    tr data-workload="" data-facts=(facts_of(machine, setup)) {
                        (row_head(machine, setup, &["suite"]))
                        @for question in &collection.questions { (cell(collection, question, setup)) }
                        td { (setup.runs.len()) }
                        td class="words open" {
                            (setup.runs[0].started.get(..10).unwrap_or_default())
                            small { "suite " (setup.fact("suite")) }
                        }
                    }
                }
            }
        }
    };
    html! {
        h2 { "Machines and questions" }
        div class="filters" role="group" aria-label="Filters" {
            label { "Find " input id="find" type="search" placeholder="EPYC, Neoverse, 6.18, …" title="Find a machine (/)"; }
            (choices(collection))
            (columns(names.map(|question| words(question.question).0)))
            button id="reset" type="button" { "Show all" }
        }
        p class="notes" { (signs(&collection.reference_lane)) }
        (sheet("Machines and questions", &table))
    }
}

fn head(question: &Question) -> Markup {
    let (name, what) = words(question.question);
    let place = &question.place;
    html! {
        th class="words" scope="col" data-lane=(name) {
            a href=(file_of(question)) { (name) }
            small { "cheapest " (what) ": " (place.title) @if !place.case_text.is_empty() { ", " (place.case_text) } ", " (place.quantity) }
        }
    }
}

fn cell(collection: &Collection, question: &Question, setup: &Setup) -> Markup {
    let (name, _) = words(question.question);
    let ranked = setup.ranked(&question.place.place);
    html! {
        @match ranked.first() {
            Some((lane, best)) => {
                @let others = as_good(&ranked);
                td class="words" data-lane=(name) data-value=(format!("{:e}", best.cost())) {
                    span title=[(!others.is_empty()).then(|| others.join(", "))] { (lane) (alike(&others)) }
                    " " (figure(best, &collection.reference_lane, lane))
                }
            },
            None => td class="words none" data-lane=(name) { "not measured" },
        }
    }
}

/// The lanes whose interval overlaps the best lane's, and that have the best lane's verdict against
/// the reference: faster, slower or neither.
fn as_good<'a>(ranked: &[(&'a str, &Figure)]) -> Vec<&'a str> {
    let [(_, best), others @ ..] = ranked else {
        return Vec::new();
    };
    let decided = |figure: &Figure| {
        let verdict = figure.verdict;
        verdict.filter(|verdict| matches!(verdict, Verdict::Faster | Verdict::Slower))
    };
    let alike = others
        .iter()
        .filter(|(_, other)| best.overlaps(other) && decided(best) == decided(other));
    alike.map(|(lane, _)| *lane).collect()
}

fn alike(names: &[&str]) -> String {
    match names.len() {
        0 => String::new(),
        1 | 2 => format!(" ≈ {}", names.join(" ≈ ")),
        count => format!(" ≈ {count} others"),
    }
}

/// The script fills the table.
fn two() -> Markup {
    html! {
        h2 { "Two machines side by side" }
        p class="lead" { "Choose two rows. Lines in which they differ are marked. The address keeps the choice." }
        div class="filters" {
            label { "First " select id="two-a" {} }
            label { "Second " select id="two-b" {} }
        }
        div class="sheet" { div class="scroll" tabindex="0" role="group" aria-label="Two machines side by side" { table id="two-table" data-name="two" {} } }
    }
}

/// The area to drop a file. The script fills the list.
fn nearest() -> Markup {
    html! {
        h2 { "The machine nearest to yours" }
        p class="lead" { "Choose or drop a run.jsonl here. It stays on your computer: the page reads its first line and looks for the rows with the most similar CPU." }
        p { label { "run.jsonl " input id="mine" type="file" accept=".jsonl"; } }
        ol id="nearest-list" aria-live="polite" {}
    }
}

fn apart(collection: &Collection) -> Markup {
    let table = html! {
        table data-name="apart" {
            thead { tr { th class="words" scope="col" { "File" } th class="words" scope="col" { "Standing" } th class="words" scope="col" { "Why" } } }
            tbody {
                @for one in &collection.apart {
                    tr {
                        th scope="row" { (one.file) }
                        td class={"words " (if one.standing == Standing::Refused { "bad" } else { "open" })} { (one.standing) }
                        td class="wrapped" { @for reason in &one.reasons { (reason) ". " } }
                    }
                }
            }
        }
    };
    html! {
        h2 { "Runs that stand apart" }
        p class="lead" { "No figure of this site uses these files; the reason is beside each." }
        (sheet("Runs that stand apart", &table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Unit;
    use crate::stats::bootstrap::Interval;

    fn lane(low: f64, verdict: Option<Verdict>) -> Figure {
        Figure {
            value: low + 1.0,
            interval: Some(Interval {
                low,
                high: low + 30.0,
            }),
            runs_count: 1,
            ratio: None,
            verdict,
            sign: "",
            reach: 1.0,
            unit: Unit::Nanoseconds,
            higher_is_better: false,
        }
    }

    #[test]
    fn a_lane_that_is_worse_than_the_reference_is_not_as_good_as_the_reference() {
        let thread = lane(100.0, None);
        let go = lane(119.0, Some(Verdict::Slower));
        let tokio = lane(119.0, Some(Verdict::Same));
        let ranked = [("thread", &thread), ("go", &go), ("tokio", &tokio)];
        assert_eq!(as_good(&ranked), ["tokio"]);
    }
}
