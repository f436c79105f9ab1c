//! The page of one question for all machines: a column for each lane.

use maud::{Markup, html};

use super::{
    BESIDE, Prices, RELEASES, beside, best_of, document, facts_of, figure, filters, hero, releases,
    row_head, sheet, signs, words,
};
use crate::analysis::Unit;
use crate::format;
use crate::schema::FirstQuestion;
use crate::site::{Collection, Figure, Machine, Question, Setup};

pub(super) fn page(
    collection: &Collection,
    question: &Question,
    prices: Option<&Prices>,
) -> String {
    let (name, what) = words(question.question);
    let place = &question.place;
    // The lanes that were measured, each with its best figure.
    let lanes: Vec<(&str, &Figure)> = collection
        .lanes
        .iter()
        .filter_map(|lane| {
            let setups = collection.setups();
            let best = best_of(setups.filter_map(|(_, setup)| of_lane(setup, question, lane)));
            Some((lane.as_str(), best?))
        })
        .collect();
    let text = html! {
        (place.title) @if !place.case_text.is_empty() { ", " (place.case_text) } ": " (place.quantity) ". "
        (signs(&collection.reference_lane)) (BESIDE)
    };
    let is_shared = all_cpus(question);
    let table = html! {
        table class="machines" data-name=(name.to_lowercase()) data-sorts {
            thead { tr {
                th class="words" scope="col" { "Machine" }
                @if is_shared { th class="words" scope="col" data-lane=(PER_CORE) { (PER_CORE) } }
                @if let Some(prices) = prices.filter(|_| is_shared) {
                    th class="words" scope="col" data-lane=(PER_PRICE) { (PER_PRICE) small { "prices of " (prices.date) } }
                }
                th class="words" scope="col" { "Releases" }
                @for (lane, _) in &lanes { th class="words" scope="col" data-lane=(lane) { (lane) } }
            } }
            tbody {
                @for (machine, setup) in collection.setups() {
                    tr data-workload="" data-facts=(facts_of(machine, setup)) {
                        (row_head(machine, setup, &RELEASES))
                        @let ranked = setup.ranked(&place.place);
                        @let best = ranked.first().map(|(_, figure)| *figure).filter(|_| setup.has_all_cpus());
                        @if is_shared { (divided(PER_CORE, best.and_then(|best| per_core(best, machine)))) }
                        @if let Some(prices) = prices.filter(|_| is_shared) {
                            (divided(PER_PRICE, best.and_then(|best| per_price(best, question, machine, prices))))
                        }
                        td class="wrapped open" { (releases(setup)) }
                        @for (lane, best) in &lanes { (cell(collection, question, setup, lane, best)) }
                    }
                }
            }
        }
    };
    let body = html! {
        (hero(collection, &format!("The cheapest {what}"), &text))
        main id="main" class="wrap broad" {
            section id="machines" {
                h2 { "Machines and lanes" }
                (filters(collection, lanes.iter().map(|(lane, _)| *lane)))
                (sheet("Machines and lanes", &table))
                p class="notes" {
                    @if is_shared { "Runs on some of a machine's CPUs have no figure per core or price." }
                    @else { "No figure per core or price: one task at a time does not use more of a larger machine." }
                }
            }
        }
    };
    document(collection, &format!("threadbare: {name}"), "", &body)
}

fn of_lane<'a>(setup: &'a Setup, question: &Question, lane: &str) -> Option<&'a Figure> {
    setup.figures.get(&question.place.place)?.get(lane)
}

fn cell(
    collection: &Collection,
    question: &Question,
    setup: &Setup,
    lane: &str,
    best: &Figure,
) -> Markup {
    html! {
        @match of_lane(setup, question, lane) {
            Some(one) => td class="words" data-lane=(lane) data-value=(format!("{:e}", one.cost())) {
                (figure(one, &collection.reference_lane, lane)) (beside(one, Some(best)))
            },
            None => td class="words none" data-lane=(lane) { "–" },
        }
    }
}

/// True if the work of the question uses all CPUs, so a larger machine does more.
pub(super) fn all_cpus(question: &Question) -> bool {
    matches!(
        question.question,
        FirstQuestion::Compute | FirstQuestion::Serve
    )
}

const PER_CORE: &str = "Best lane, per core";

const PER_PRICE: &str = "Best lane, per price";

/// A figure divided by the size or the price of its machine: a key for sorting, of which the lowest
/// is the best, and the text.
type Divided = (Option<f64>, String);

fn divided(name: &str, figure: Option<Divided>) -> Markup {
    html! {
        @match figure {
            Some((key, text)) => td class="words" data-lane=(name) data-value=[key.map(|key| format!("{key:e}"))] { (text) },
            None => td class="words none" data-lane=(name) { "–" },
        }
    }
}

/// The CPU time of one unit of work, or the rate of one core.
pub(super) fn per_core(figure: &Figure, machine: &Machine) -> Option<Divided> {
    let cores = match machine.inputs.cores_count {
        0 => return None,
        cores => f64::from(cores),
    };
    let (key, value, words) = match figure.unit {
        Unit::PerSecond => (-figure.value / cores, figure.value / cores, ""),
        Unit::Nanoseconds => {
            let together = figure.value * cores;
            (together, together, " of CPU time, all cores together")
        }
        _ => return None,
    };
    Some((Some(key), format!("{}{words}", figure.unit.text(value))))
}

/// How many millions of operations one unit of the currency pays for.
pub(super) fn per_price(
    figure: &Figure,
    question: &Question,
    machine: &Machine,
    prices: &Prices,
) -> Option<Divided> {
    const HOUR_S: f64 = 3_600.0;
    let Some(price) = prices.of(machine) else {
        return Some((None, "no price".to_owned()));
    };
    let rate = match figure.unit {
        Unit::PerSecond => figure.value,
        Unit::Nanoseconds if figure.value > 0.0 => 1e9 / figure.value,
        _ => return None,
    };
    let millions = rate * HOUR_S / price / 1e6;
    let noun = match question.question {
        FirstQuestion::Serve => "requests",
        _ => "runs",
    };
    let number = format::number(millions);
    let text = format!("{number} million {noun} for 1 {}", prices.currency);
    Some((Some(-millions), text))
}
