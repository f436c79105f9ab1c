//! The first section of the page: five questions with answers and doubts.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::table;
use super::view::{View, capital, effect, processes};
use crate::analysis::{Case, Row, Unit, is_floor, is_ours};
use crate::schema::{Depth, FirstQuestion, UNKNOWN, Workload};
use crate::stats::Verdict;
use crate::{glossary, machine, run, taints};

/// The questions, each with a phrase for its answer: the best lane “to start a task”.
const QUESTIONS: [(FirstQuestion, &str); 5] = [
    (FirstQuestion::Start, "to start a task"),
    (FirstQuestion::Wait, "to keep a task waiting"),
    (FirstQuestion::Switch, "to switch between tasks"),
    (FirstQuestion::Serve, "to serve requests"),
    (FirstQuestion::Compute, "to compute with"),
];

/// The most lanes of one answer; the best and the reference are among them.
const MOST_LANES: usize = 6;

struct Answer<'a> {
    what: &'static str,
    workload: &'a Workload,
    case: &'a Case,
    /// The lanes' rows, the best first.
    rows: Vec<&'a Row>,
    /// The verdict on each row: *slower* if it is slower than any row before it, otherwise its
    /// verdict against the first.
    verdicts: Vec<Verdict>,
}

impl<'a> Answer<'a> {
    fn best(&self) -> &'a Row {
        self.rows[0]
    }

    fn leaders(&self) -> impl Iterator<Item = (&'a Row, Verdict)> {
        let all = self.rows.iter().copied().zip(self.verdicts.iter().copied());
        all.filter(|(_, verdict)| *verdict != Verdict::Slower)
    }

    fn shown(&self, reference: &str) -> Vec<&'a Row> {
        let place = self.rows.iter().position(|row| row.lane == reference);
        let mut rows: Vec<&Row> = self.rows.iter().copied().take(MOST_LANES).collect();
        if let Some(place) = place.filter(|place| *place >= MOST_LANES) {
            rows.pop();
            rows.push(self.rows[place]);
        }
        rows
    }
}

pub(super) fn hero(view: &View<'_>) -> Markup {
    let answers = answers(view);
    let header = &view.run.header;
    let machine = &header.host.machine;
    html! {
        header class="hero" id="top" {
            div class="wrap" {
                p class="eyebrow" { "threadbare · the same work on threads, processes, goroutines and async tasks" }
                h1 {
                    @if let Some(text) = of_the_only_workload(view, answers.is_empty()) { (text) }
                    @else if answers.is_empty() { "No two lanes were measured on the same workload" }
                    @else { "What is the cheapest on this machine?" }
                }
                p class="host" {
                    @if !header.host.name.is_empty() { (header.host.name) " · " }
                    (machine::cpu(machine)) " · " (machine::size(machine))
                    @match machine.hypervisor.as_str() {
                        "" | "none" => {},
                        UNKNOWN => " · virtual or not: unknown",
                        class => { " · virtual (" (class) ")" },
                    }
                    " · " (header.host.operating_system) " · " (day(&header.started))
                }
                ul class="answers" {
                    @for answer in &answers { (one(view, answer)) }
                    li class="answer doubts" { (doubts(view)) }
                }
                (words())
            }
        }
    }
}

fn words() -> Markup {
    html! {
        details class="glossary" {
            summary { "What the words and signs mean: lane, cell, block, verdict, ≈, …" }
            dl class="facts" {
                @for (term, meaning) in glossary::TERMS { dt { (term) } dd { (capital(meaning)) } }
            }
        }
    }
}

fn day(time: &str) -> &str {
    time.split_once('T').map_or(time, |(day, _)| day)
}

fn answers<'a>(view: &View<'a>) -> Vec<Answer<'a>> {
    let mut answers: Vec<Answer> = QUESTIONS
        .into_iter()
        .filter_map(|(question, what)| answer(view, question, what))
        .collect();
    judge(view, &mut answers);
    answers
}

/// The best lane as text. `None` if several workloads or fewer than two lanes were measured, or if
/// the figure is no rate and the page has answers.
fn of_the_only_workload(view: &View<'_>, no_answers: bool) -> Option<String> {
    let has_figure = |workload: &&Workload| {
        let mut rows = view.analysis.rows_of(&workload.id);
        rows.any(|row| row.estimate.is_some())
    };
    let mut measured = view.run.header.workloads.iter().filter(has_figure);
    let workload = measured.next().filter(|_| measured.next().is_none())?;
    let (case, mut rows) = view.main_case(workload)?;
    rows.retain(|row| !is_floor(&row.lane) && !run::is_base(&row.lane));
    rows.sort_by(|a, b| order(a).total_cmp(&order(b)));
    if rows.len() < 2 {
        return None;
    }
    let verdicts = vec![Verdict::Same; rows.len()];
    let mut answer = Answer {
        what: "",
        workload,
        case,
        rows,
        verdicts,
    };
    judge(view, std::slice::from_mut(&mut answer));
    let best = answer.best();
    let is_rate = best.quantity.unit == Unit::PerSecond && best.quantity.higher_is_better;
    let figure = best.whole_text();
    let tied = answer.leaders().skip(1);
    let tied: Vec<(&str, Verdict)> = tied
        .map(|(row, verdict)| (row.lane.as_str(), verdict))
        .collect();
    let text = match is_rate {
        true if is_open(&tied) => return Some(undecided(&best.lane, &figure, &tied)),
        true => format!("{} had the highest rate: {figure}", best.lane),
        false if no_answers => format!("{}: {} was the best, {figure}", workload.title, best.lane),
        false => return None,
    };
    Some(match tied.is_empty() {
        true => text,
        false if is_open(&tied) => format!("{text}; too noisy to rank"),
        false => format!("{text}; no difference to {}", listed(&tied)),
    })
}

fn is_open(tied: &[(&str, Verdict)]) -> bool {
    let mut verdicts = tied.iter().map(|(_, verdict)| *verdict);
    verdicts.any(|verdict| verdict == Verdict::CannotTell)
}

fn listed(tied: &[(&str, Verdict)]) -> String {
    let names: Vec<&str> = tied.iter().map(|(lane, _)| *lane).collect();
    names.join(", ")
}

fn undecided(lane: &str, figure: &str, tied: &[(&str, Verdict)]) -> String {
    format!(
        "The lane with the highest rate is not known: {lane} {figure}, too noisy to rank above {}",
        listed(tied)
    )
}

fn judge<'a>(view: &View<'a>, answers: &mut [Answer<'a>]) {
    // Each lane is judged against those with a better figure; all lanes are judged together.
    let better = |answer: &Answer<'a>| -> Vec<(&'a Row, &'a Row)> {
        let rows = answer.rows.iter().enumerate();
        rows.flat_map(|(place, row)| answer.rows[..place].iter().map(|best| (*row, *best)))
            .collect()
    };
    let pairs: Vec<(&Row, &Row)> = answers.iter().flat_map(better).collect();
    let mut judged = view.analysis.judge(&pairs).into_iter();
    for answer in answers {
        for place in 1..answer.rows.len() {
            let found: Vec<Verdict> = judged
                .by_ref()
                .take(place)
                .map(|found| found.map_or(Verdict::CannotTell, |(_, verdict)| verdict))
                .collect();
            // A lane slower than any before it is not the best, even if the best figure is too
            // noisy to compare.
            answer.verdicts[place] = match found.contains(&Verdict::Slower) {
                true => Verdict::Slower,
                false => found[0],
            };
        }
    }
}

/// The first workload for the question on which at least two lanes have a figure.
fn answer<'a>(view: &View<'a>, question: FirstQuestion, what: &'static str) -> Option<Answer<'a>> {
    let mut workloads: Vec<(u32, &Workload)> = Vec::new();
    for workload in &view.run.header.workloads {
        let place = workload.first_screen.as_ref();
        if let Some(place) = place.filter(|place| place.question == question) {
            workloads.push((place.rank, workload));
        }
    }
    workloads.sort_by_key(|(rank, _)| *rank);
    workloads.into_iter().find_map(|(_, workload)| {
        let (case, mut rows) = case(view, workload)?;
        rows.sort_by(|a, b| order(a).total_cmp(&order(b)));
        (rows.len() > 1).then(|| Answer {
            what,
            workload,
            case,
            verdicts: vec![Verdict::Same; rows.len()],
            rows,
        })
    })
}

/// Of the cases with the most lanes, the last, which is the largest.
fn case<'a>(view: &View<'a>, workload: &'a Workload) -> Option<(&'a Case, Vec<&'a Row>)> {
    let place = workload.first_screen.as_ref()?;
    let mut cases: BTreeMap<&Case, Vec<&Row>> = BTreeMap::new();
    for row in view.analysis.rows_of(&workload.id) {
        let is_it = match place.quantity.as_deref() {
            Some(id) => row.quantity.id == id,
            None => row.quantity.rank == 0,
        };
        let has_value = |(name, value): (&String, &u64)| row.case.0.get(name) == Some(value);
        let is_lane = !is_floor(&row.lane) && !run::is_base(&row.lane);
        if is_it && is_lane && row.estimate.is_some() && place.parameters.iter().all(has_value) {
            cases.entry(&row.case).or_default().push(row);
        }
    }
    cases.into_iter().max_by_key(|(_, rows)| rows.len())
}

/// A sort key: the best is first. Memory that may be zero counts as the high end of its interval.
fn order(row: &Row) -> f64 {
    let Some(estimate) = row.estimate else {
        return f64::INFINITY;
    };
    let most = estimate.interval.map_or(estimate.value, |one| one.high);
    match row.quantity.higher_is_better {
        true => -estimate.value,
        false if row.is_resolved() => estimate.value,
        false => most,
    }
}

fn interval_note(rows: &[&Row]) -> &'static str {
    match rows.iter().any(|row| row.interval_text().contains(" (")) {
        true => "; the intervals are the range of a few processes",
        false => "",
    }
}

fn one(view: &View<'_>, answer: &Answer<'_>) -> Markup {
    let reference = &view.analysis.reference_lane;
    let shown = answer.shown(reference);
    let hidden = answer.rows.len() - shown.len();
    let case = view.case_text(&answer.workload.id, answer.case);
    let quantity = &answer.best().quantity.title;
    let interval_note = interval_note(&shown);
    let leaders: Vec<&str> = answer.leaders().map(|(row, _)| row.lane.as_str()).collect();
    let sign = if is_undecided(answer) { " ?" } else { " ≈" };
    html! {
        li class="answer" {
            h2 class="what" { @if answer.best().quantity.higher_is_better { "Best " } @else { "Cheapest " } (answer.what) }
            p class="best" { (names(view, answer)) }
            p class="fine" { (comparison_text(view, answer)) }
            table {
                caption { (capital(quantity)) @if !case.is_empty() { ", " (case) } (interval_note) }
                thead class="unseen" { tr { th scope="col" { "Lane" } th scope="col" { "Figure" } th scope="col" { "Interval" } } }
                tbody {
                    @for row in shown {
                        @let is_leader = leaders.len() > 1 && leaders.contains(&row.lane.as_str());
                        tr data-lane=(row.lane) {
                            th scope="row" { (table::lane(view, &row.lane)) @if is_leader { (sign) } }
                            td { b { (row.value_text()) } }
                            td class="open" { (row.bare_interval_text()) }
                        }
                    }
                }
            }
            p class="fine" {
                @if hidden > 0 { "and " (hidden) " more: " }
                a href={"#q-" (answer.workload.id)} { (answer.workload.title) }
            }
        }
    }
}

/// The best lane, or up to three names if several lanes may be the best.
fn names(view: &View<'_>, answer: &Answer<'_>) -> String {
    let leaders = answer.leaders().map(|(row, _)| view.noun(&row.lane));
    let names: Vec<String> = leaders.collect();
    match names.as_slice() {
        [one] => capital(one),
        [first @ .., last] if first.len() < 3 => {
            capital(&format!("{} or {last}", first.join(", ")))
        }
        _ => format!("No winner among {} lanes", names.len()),
    }
}

fn is_undecided(answer: &Answer<'_>) -> bool {
    let mut leaders = answer.leaders();
    leaders.any(|(row, verdict)| verdict == Verdict::CannotTell || row.is_limited())
}

fn comparison_text(view: &View<'_>, answer: &Answer<'_>) -> String {
    let reference = view.a_task(&view.analysis.reference_lane);
    let leaders: Vec<(&Row, Verdict)> = answer.leaders().collect();
    let is_reference = |row: &Row| row.lane == view.analysis.reference_lane;
    let standing = match effect(answer.best()) {
        // If the reference is among the best, the text below says so.
        _ if leaders.iter().any(|(row, _)| is_reference(row)) => None,
        Some((words, Verdict::Faster | Verdict::Slower)) => {
            Some(format!("{words} than {reference}"))
        }
        Some((words, _)) => Some(format!("against {reference}: {words}")),
        None => None,
    };
    let several = match (leaders.len(), is_undecided(answer)) {
        (1, _) => None,
        _ if leaders.iter().any(|(row, _)| row.is_limited()) => Some(
            "the load generator was the limit, so the best of the lanes marked ? is unknown"
                .to_owned(),
        ),
        (_, true) => Some("too noisy to say which of the lanes marked ? is best".to_owned()),
        (_, false) => Some("the lanes marked ≈ differ by too little to matter".to_owned()),
    };
    let parts: Vec<String> = standing.into_iter().chain(several).collect();
    capital(&parts.join("; "))
}

fn doubts(view: &View<'_>) -> Markup {
    let design = &view.run.header.design;
    let (decided, all) = view.analysis.decided();
    let ours = view.run.header.lanes.iter().any(|lane| is_ours(&lane.name));
    html! {
        h2 class="what" { "How sure is this?" }
        p class="fine" {
            (processes(design)) ". "
            b { (decided) " of " (all) } " comparisons with " (view.analysis.reference_lane) " are decided"
            @if decided < all { "; the others are too noisy to say" }
            "."
        }
        @if design.depth == Depth::Quick {
            p class="fine warn" { b { "Quick run: rough figures. " } "They do not show small differences; " code { "cargo bench" } " measures for longer." }
        }
        @if !view.run.is_complete() {
            p class="fine warn" { b { "The run was cut short. " } "The figures that are here were measured as planned; the rest is missing." }
        }
        @for kind in taints::by_kind(view.run).iter().take(MOST_DOUBTS) {
            p class="fine warn" { b { (kind.title) ": " } (kind.meaning) "." }
        }
        p class="fine" {
            @if ours { "The authors of threadbare wrote one of the contestants (BIAS.md). " }
            a href="#trust" { "All doubts about the figures" }
        }
    }
}

const MOST_DOUBTS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_rate_is_not_known_if_another_lane_may_have_it() {
        let tied = [("go", Verdict::Same), ("tokio", Verdict::CannotTell)];
        assert!(is_open(&tied) && !is_open(&tied[..1]) && !is_open(&[]));
        assert_eq!(
            undecided("thread", "12 k/s (11 – 13 k/s)", &tied),
            "The lane with the highest rate is not known: thread 12 k/s (11 – 13 k/s), too noisy to rank above go, tokio"
        );
    }
}
