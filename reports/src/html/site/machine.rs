//! The page of one machine: its setups, each with the questions and all main figures.

use maud::{Markup, html};

use super::question::{all_cpus, per_core, per_price};
use super::{Prices, RUNS, document, figure, heat, hero, sheet, signs, standing, words};
use crate::html::view::capital;
use crate::machine;
use crate::site::{Collection, Fact, Kept, Machine, Setup, Titled};

pub(super) fn page(collection: &Collection, machine: &Machine, prices: Option<&Prices>) -> String {
    let name = machine::cpu(&machine.inputs);
    let text = html! {
        (machine::topology(&machine.inputs)) ". Machine key " code { (machine.key) } ". "
        (signs(&collection.reference_lane))
    };
    let body = html! {
        (hero(collection, &name, &text))
        main id="main" class="wrap broad" {
            @for (number, setup) in machine.setups.iter().enumerate() {
                section id={"s" (number)} {
                    h2 { "Setup " (number + 1) " of " (machine.setups.len()) }
                    (facts(machine, setup))
                    (disturbances(setup, number))
                    (questions(collection, machine, setup, prices, number))
                    (all(collection, setup, number))
                }
            }
        }
    };
    document(collection, &format!("threadbare on {name}"), "../", &body)
}

fn facts(machine: &Machine, setup: &Setup) -> Markup {
    let varying = machine.varying();
    let (settings, main): (Vec<&Fact>, Vec<&Fact>) =
        setup.facts.iter().partition(|fact| fact.is_setting());
    html! {
        @if !varying.is_empty() {
            p class="lead" {
                "The setups of this machine differ in: "
                @for (place, name) in varying.iter().enumerate() {
                    @if place > 0 { "; " }
                    (name) " (here " b { (setup.fact(name)) } ")"
                }
                "."
            }
        }
        dl class="facts" {
            @for fact in main { dt { (fact.name) } dd { (fact.value) } }
            dt { "settings" }
            dd {
                details class="parts" {
                    summary { (settings.len()) " entries" }
                    dl class="facts" { @for fact in settings { dt { (fact.name) } dd { (fact.value) } } }
                }
            }
            dt { "runs" }
            dd {
                @for run in &setup.runs {
                    @match &run.raw {
                        Some(raw) => a href={"../" (RUNS) "/" (raw.place.display())} { (run.file) },
                        None => (run.file),
                    }
                    " (" (started(run)) ")" br;
                }
                @if setup.runs.len() == 1 { "One run: the intervals do not include differences between machines or days. " }
                @if setup.derived { b { "Derived from another machine's run, for a trial: not measured." } }
            }
        }
    }
}

fn started(run: &Kept) -> String {
    let started = &run.started;
    started.get(..16).unwrap_or(started).replace('T', " ")
}

fn disturbances(setup: &Setup, number: usize) -> Markup {
    if setup.runs.iter().all(|run| run.disturbances.is_empty()) {
        return html! {
            p class="alert calm" { b { "No disturbances." } " Every reading of each run stayed within its bounds." }
        };
    }
    let table = html! {
        table data-name={"disturbances-" (number)} {
            caption { "Disturbances" }
            thead { tr {
                th class="words" scope="col" { "Disturbance" }
                th class="words" scope="col" { "Run" }
                th class="words" scope="col" { "When" }
                th class="words" scope="col" { "What it means" }
                th class="words" scope="col" { "Worst reading" }
            } }
            tbody {
                @for run in &setup.runs {
                    @for kind in &run.disturbances {
                        tr {
                            th scope="row" { (kind.title) }
                            td class="words" { (started(run)) }
                            td class="words" { (kind.when()) }
                            td class="wrapped" { (capital(kind.meaning)) "." }
                            td class="wrapped" { (kind.message) }
                        }
                    }
                    @if run.disturbances.is_empty() {
                        tr { th scope="row" { "None" } td class="words" { (started(run)) } td {} td {} td {} }
                    }
                }
            }
        }
    };
    sheet("Disturbances", &table)
}

fn questions(
    collection: &Collection,
    machine: &Machine,
    setup: &Setup,
    prices: Option<&Prices>,
    number: usize,
) -> Markup {
    let table = html! {
        table data-name={"questions-" (number)} {
            thead { tr {
                th class="words" scope="col" { "Question" }
                th class="words" scope="col" { "Lanes, the best first" }
                th class="words" scope="col" { "Best lane, per core" }
                @if let Some(prices) = prices { th class="words" scope="col" { "Per price" small { "prices of " (prices.date) } } }
            } }
            tbody {
                @for question in &collection.questions {
                    @let ranked = setup.ranked(&question.place.place);
                    @let best = ranked.first().map(|(_, figure)| *figure).filter(|_| all_cpus(question) && setup.has_all_cpus());
                    tr {
                        th scope="row" {
                            "Cheapest " (words(question.question).1)
                            small { (question.place.title) ", " (question.place.quantity) }
                        }
                        td class="wrapped" {
                            @if ranked.is_empty() { span class="none" { "not measured" } }
                            ul class="ranked" { @for (lane, one) in &ranked { li { (lane) " " (figure(one, &collection.reference_lane, lane)) } } }
                        }
                        td class="words" { (best.and_then(|best| per_core(best, machine)).unwrap_or_default().1) }
                        @if let Some(prices) = prices { td class="words" { (best.and_then(|best| per_price(best, question, machine, prices)).unwrap_or_default().1) } }
                    }
                }
            }
        }
    };
    sheet("The questions", &table)
}

fn all(collection: &Collection, setup: &Setup, number: usize) -> Markup {
    let lanes: Vec<&String> = collection
        .lanes
        .iter()
        .filter(|lane| {
            setup
                .figures
                .values()
                .any(|lanes| lanes.contains_key(*lane))
        })
        .collect();
    let places = || {
        collection
            .places
            .iter()
            .filter(|one| setup.figures.contains_key(&one.place))
    };
    let table = html! {
        table class="heat" data-name={"figures-" (number)} {
            thead { tr {
                th class="words" scope="col" { "Workload" }
                @for lane in &lanes { th scope="col" { (lane) } }
            } }
            tbody { @for titled in places() { (line(setup, titled, &lanes, &collection.reference_lane)) } }
        }
    };
    html! {
        details {
            summary { "All " (places().count()) " main figures of this setup" }
            (sheet("All main figures", &table))
        }
    }
}

fn line(setup: &Setup, titled: &Titled, lanes: &[&String], reference: &str) -> Markup {
    let own = &setup.figures[&titled.place];
    html! {
        tr {
            th scope="row" {
                (titled.title)
                small { @if !titled.case_text.is_empty() { (titled.case_text) ", " } (titled.quantity) }
            }
            @for lane in lanes {
                @match own.get(*lane) {
                    Some(one) => td class=(heat(one)) {
                        (one.text())
                        @if let Some(text) = standing(one).filter(|_| *lane != reference) { small { (text) } }
                    },
                    None => td class="none" { "–" },
                }
            }
        }
    }
}
