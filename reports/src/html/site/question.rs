//! The page of one question for all machines: a column for each lane.

use maud::{Markup, html};

use super::{
    Prices, RELEASES, choices, columns, document, facts_of, figure, hero, releases, row_head,
    sheet, signs, words,
};
use crate::analysis::Unit;
use crate::format;
use crate::site::{Collection, Figure, Machine, Question, Setup};

pub(super) fn page(
    collection: &Collection,
    question: &Question,
    prices: Option<&Prices>,
) -> String {
    let (name, what) = words(question.question);
    let place = &question.place;
    let lanes: Vec<&str> = collection
        .lanes
        .iter()
        .map(String::as_str)
        .filter(|lane| {
            let mut setups = collection.setups();
            setups.any(|(_, setup)| has(setup, question, lane))
        })
        .collect();
    let text = html! {
        (place.title) @if !place.case_text.is_empty() { ", " (place.case_text) } ": " (place.quantity) ". "
        (signs(&collection.reference_lane))
    };
    let is_shared = all_cpus(question);
    let table = html! {
        table class="machines" data-name=(name.to_lowercase()) data-sorts {
            thead { tr {
                th class="words" scope="col" { "Machine" }
                th class="words" scope="col" { "Releases" }
                @for lane in &lanes { th class="words" scope="col" data-lane=(lane) { (lane) } }
                @if is_shared { th class="words" scope="col" { "Best lane, per core" } }
                @if let Some(prices) = prices.filter(|_| is_shared) {
                    th class="words" scope="col" { "Best lane, per price" small { "prices of " (prices.date) } }
                }
            } }
            tbody {
                @for (machine, setup) in collection.setups() {
                    tr data-workload="" data-facts=(facts_of(machine, setup)) {
                        (row_head(machine, setup, &RELEASES))
                        td class="wrapped open" { (releases(setup)) }
                        @for lane in &lanes { (cell(collection, question, setup, lane)) }
                        @let ranked = setup.ranked(&place.place);
                        @let best = ranked.first().map(|(_, figure)| *figure).filter(|_| setup.has_all_cpus());
                        @if is_shared { td class="words" { (best.and_then(|best| per_core(best, machine)).unwrap_or_default()) } }
                        @if let Some(prices) = prices.filter(|_| is_shared) {
                            td class="words" { (best.and_then(|best| per_price(best, machine, prices)).unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    };
    let body = html! {
        (hero(&format!("The cheapest {what}"), &text))
        main id="main" class="wrap broad" {
            section id="machines" {
                h2 { "Machines and lanes" }
                div class="filters" role="group" aria-label="Filters" {
                    label { "Find " input id="find" type="search" placeholder="EPYC, Neoverse, 6.18, …" title="Find a machine (/)"; }
                    (choices(collection))
                    (columns(lanes.iter().copied()))
                    button id="reset" type="button" { "Show all" }
                }
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

fn has(setup: &Setup, question: &Question, lane: &str) -> bool {
    let lanes = setup.figures.get(&question.place.place);
    lanes.is_some_and(|lanes| lanes.contains_key(lane))
}

fn cell(collection: &Collection, question: &Question, setup: &Setup, lane: &str) -> Markup {
    let lanes = setup.figures.get(&question.place.place);
    html! {
        @match lanes.and_then(|lanes| lanes.get(lane)) {
            Some(one) => td class="words" data-lane=(lane) data-value=(format!("{:e}", one.cost())) { (figure(one, &collection.reference_lane, lane)) },
            None => td class="words none" data-lane=(lane) { "–" },
        }
    }
}

/// True if the work of the question uses all CPUs, so a larger machine does more.
pub(super) fn all_cpus(question: &Question) -> bool {
    use crate::schema::FirstQuestion::{Compute, Serve};
    matches!(question.question, Compute | Serve)
}

/// The CPU time of one unit of work, or the rate of one core.
pub(super) fn per_core(figure: &Figure, machine: &Machine) -> Option<String> {
    let cores = match machine.inputs.cores_count {
        0 => return None,
        cores => f64::from(cores),
    };
    Some(match figure.unit {
        Unit::PerSecond => figure.unit.text(figure.value / cores),
        Unit::Nanoseconds => format!("{} of a core", figure.unit.text(figure.value * cores)),
        _ => return None,
    })
}

/// How many millions of operations one unit of the currency pays for.
pub(super) fn per_price(figure: &Figure, machine: &Machine, prices: &Prices) -> Option<String> {
    const HOUR_S: f64 = 3_600.0;
    let price = prices.of(machine)?;
    let rate = match figure.unit {
        Unit::PerSecond => figure.value,
        Unit::Nanoseconds if figure.value > 0.0 => 1e9 / figure.value,
        _ => return None,
    };
    let millions = rate * HOUR_S / price / 1e6;
    Some(format!(
        "{} million for 1 {}",
        format::number(millions),
        prices.currency
    ))
}
