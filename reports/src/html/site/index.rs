//! The index: a row for each machine and setup, a column for each question.

use maud::{Markup, html};

use super::{
    BESIDE, beside, best_of, document, facts_of, figure, file_of, filters, hero, row_head, sheet,
    signs, words,
};
use crate::format::counted;
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
        (counted(collection.runs_count(), "run")) " in " (counted(collection.setups().count(), "setup")) ". "
        "A row is a machine in one setup: kernel, mitigations, releases, settings. Each cell has the best lane (and after ≈ the lanes with the same verdict whose intervals overlap), its figure with its interval, and its ratio to "
        (collection.reference_lane) ". Times of different machines stand side by side; nothing is averaged over machines."
    };
    let body = html! {
        (hero(collection, &title, &text))
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
    let cost = |setup: &Setup, question: &Question| {
        let best = best_lane(setup, question);
        best.map_or(f64::INFINITY, |(_, figure)| figure.cost())
    };
    let mut rows: Vec<_> = collection.setups().collect();
    let first = collection.questions.first();
    if let Some(first) = first {
        rows.sort_by(|(_, a), (_, b)| cost(a, first).total_cmp(&cost(b, first)));
    }
    let best = |question| {
        let all = rows
            .iter()
            .filter_map(|(_, setup)| best_lane(setup, question));
        best_of(all.map(|(_, figure)| figure))
    };
    let columns: Vec<(&Question, Option<&Figure>)> = collection
        .questions
        .iter()
        .map(|question| (question, best(question)))
        .collect();
    let table = html! {
        table class="machines" data-name="machines" data-sorts=(first.map_or("", |first| words(first.question).0)) {
            thead { tr {
                th class="words" scope="col" { "Machine" }
                @for (place, question) in collection.questions.iter().enumerate() { (head(question, place == 0)) }
                th scope="col" { "Runs" }
                th class="words" scope="col" { "Last run" }
            } }
            tbody {
                @for (machine, setup) in &rows {
                    tr data-workload="" data-facts=(facts_of(machine, setup)) {
                        (row_head(machine, setup, &["suite"]))
                        @for (question, best) in &columns { (cell(collection, question, setup, *best)) }
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
        (filters(collection, names.map(|question| words(question.question).0)))
        p class="notes" { (signs(&collection.reference_lane)) (BESIDE) }
        (sheet("Machines and questions", &table))
    }
}

/// The table's rows are in the order of the first column.
fn head(question: &Question, is_first: bool) -> Markup {
    let (name, what) = words(question.question);
    let place = &question.place;
    html! {
        th class="words" scope="col" data-lane=(name) aria-sort=[is_first.then_some("ascending")] {
            a href=(file_of(question)) { (name) }
            small { "cheapest " (what) ": " (place.title) @if !place.case_text.is_empty() { ", " (place.case_text) } ", " (place.quantity) }
        }
    }
}

fn best_lane<'a>(setup: &'a Setup, question: &Question) -> Option<(&'a str, &'a Figure)> {
    setup.ranked(&question.place.place).into_iter().next()
}

/// The interval as `LOW HIGH`, extended by the figure's reach. Two figures differ if these do not
/// overlap.
fn range(figure: &Figure) -> Option<String> {
    // JavaScript reads no `inf`.
    let interval = figure.interval?;
    let high = (interval.high * figure.reach).min(f64::MAX);
    Some(format!("{:e} {high:e}", interval.low))
}

fn cell(
    collection: &Collection,
    question: &Question,
    setup: &Setup,
    column: Option<&Figure>,
) -> Markup {
    let (name, _) = words(question.question);
    let ranked = setup.ranked(&question.place.place);
    html! {
        @match ranked.first() {
            Some((lane, best)) => {
                @let others = as_good(&ranked);
                td class="words" data-lane=(name) data-value=(format!("{:e}", best.cost())) data-range=[range(best)] {
                    span title=[(!others.is_empty()).then(|| others.join(", "))] { (lane) (alike(&others)) }
                    " " (figure(best, &collection.reference_lane, lane)) (beside(best, column))
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
        p class="lead" { "Choose two rows. Facts that differ and figures whose intervals do not overlap are marked. The settings are on the machines' pages. The address keeps the choice." }
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
