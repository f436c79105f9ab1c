//! The pages of many machines: an index, a page for each question and each machine, and comparisons
//! across machines.
//!
//! Each page is one file that needs no network, with the content security policy of a run's page.
//! The script fills in a table of two machines side by side, and a list of the machines nearest to
//! a file. All other text is made here; the script only hides, sorts and moves it.

mod across;
mod index;
mod machine;
mod question;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use maud::{Markup, html};

use super::shell;
use super::verdicts::shade;
use super::view::factor;
use crate::schema::{FirstQuestion, UNKNOWN};
use crate::site::{Collection, Figure, Machine, Question, Setup};
use crate::stats::Verdict;

/// The index of 300 machines is at most this large.
pub const LARGEST_INDEX_BYTES: usize = 2_000_000;

/// The prices of machines.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The day of the prices.
    pub date: String,
    /// The currency.
    pub currency: String,
    /// The price of an hour, by instance type.
    pub per_hour: BTreeMap<String, f64>,
}

impl Prices {
    fn of(&self, machine: &Machine) -> Option<f64> {
        let price = self.per_hour.get(&machine.inputs.instance_type).copied();
        price.filter(|price| *price > 0.0)
    }
}

/// The files of kept runs that the pages link to, by their paths below the site's folder.
pub fn linked(collection: &Collection) -> impl Iterator<Item = (PathBuf, &Path)> {
    let runs = collection.setups().flat_map(|(_, setup)| &setup.runs);
    runs.filter_map(|run| run.raw.as_ref())
        .map(|raw| (Path::new(RUNS).join(&raw.place), raw.source.as_path()))
}

const RUNS: &str = "runs";

/// The pages by their paths below the site's folder; the index first.
#[must_use]
pub fn render(collection: &Collection, prices: Option<&Prices>) -> Vec<(String, String)> {
    let mut pages = vec![("index.html".to_owned(), index::page(collection))];
    for question in &collection.questions {
        let page = question::page(collection, question, prices);
        pages.push((file_of(question), page));
    }
    pages.push(("across.html".to_owned(), across::page(collection)));
    for machine in &collection.machines {
        let page = machine::page(collection, machine, prices);
        pages.push((address(machine), page));
    }
    pages
}

/// A word for the question, and a phrase for its answer: the best lane “to start a task”.
fn words(question: FirstQuestion) -> (&'static str, &'static str) {
    match question {
        FirstQuestion::Start => ("Start", "to start a task"),
        FirstQuestion::Wait => ("Wait", "to keep a task waiting"),
        FirstQuestion::Switch => ("Switch", "to switch between tasks"),
        FirstQuestion::Serve => ("Serve", "to serve requests"),
        FirstQuestion::Compute => ("Compute", "to compute with"),
        FirstQuestion::Unknown => ("Other", "at something else"),
    }
}

fn file_of(question: &Question) -> String {
    format!("{}.html", words(question.question).0.to_lowercase())
}

fn address(machine: &Machine) -> String {
    format!("m/{}.html", crate::store::path_safe(&machine.key))
}

/// `up` is the path from the page's folder to the site's.
fn document(collection: &Collection, title: &str, up: &str, body: &Markup) -> String {
    let mut links = vec![(format!("{up}index.html"), "Machines".to_owned())];
    for question in &collection.questions {
        let (name, _) = words(question.question);
        links.push((format!("{up}{}", file_of(question)), name.to_owned()));
    }
    links.push((format!("{up}across.html"), "Across".to_owned()));
    shell::page(title, &links, body)
}

fn hero(title: &str, text: &Markup) -> Markup {
    html! {
        header class="hero" id="top" {
            div class="wrap broad" {
                p class="eyebrow" { "threadbare · results of many machines" }
                h1 { (title) }
                p class="host" { (text) }
            }
        }
    }
}

fn sheet(label: &str, table: &Markup) -> Markup {
    html! {
        div class="sheet" {
            div class="scroll" tabindex="0" role="group" aria-label=(label) { (table) }
            div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        }
    }
}

/// Checkboxes that hide columns, by `data-lane`.
fn columns<'a>(names: impl Iterator<Item = &'a str>) -> Markup {
    html! { @for name in names { label { input type="checkbox" checked data-filter=(name); (name) } } }
}

const FILTERS: [&str; 7] = [
    "architecture",
    "cores",
    "threads per core",
    "virtual",
    "mitigations",
    "governor",
    DISTURBANCES,
];

const DISTURBANCES: &str = "disturbances";

fn filtered<'a>(setup: &'a Setup, name: &str) -> &'a str {
    match name {
        DISTURBANCES => setup.disturbed().words(),
        name => setup.fact(name),
    }
}

fn choices(collection: &Collection) -> Markup {
    let values = |name: &str| -> Vec<String> {
        let setups = collection.setups();
        let mut all: Vec<String> = setups
            .map(|(_, setup)| filtered(setup, name).to_owned())
            .collect();
        all.sort_by(|a, b| crate::site::release_order(a, b));
        all.dedup();
        all
    };
    html! {
        @for name in FILTERS {
            @let all = values(name);
            @if all.len() > 1 {
                label {
                    (name) " "
                    select data-pick=(pick(name)) {
                        option value="" { "any" }
                        @for value in all { option value=(value) { (value) } }
                    }
                }
            }
        }
    }
}

/// A fact's name in the URL's fragment and in attributes.
fn pick(name: &str) -> String {
    name.replace(' ', "-")
}

/// The facts that the header cell of every row shows.
const NAMED: [&str; 6] = [
    "CPU",
    "virtual",
    "CPUs of the run",
    "system",
    "mitigations",
    "governor",
];

/// The facts that are releases, in the order in which a row shows them.
const RELEASES: [&str; 5] = ["Go", "tokio", "Rust", "other runtimes", "suite"];

/// The releases of a setup, such as `Go 1.27.3 · tokio 1.54.1`.
fn releases(setup: &Setup) -> String {
    let measured = RELEASES.iter().map(|name| (*name, setup.fact(name)));
    let measured = measured.filter(|(_, value)| !["not measured", "none"].contains(value));
    let words = measured.map(|(name, value)| match name {
        "other runtimes" => value.to_owned(),
        name => format!("{name} {value}"),
    });
    words.collect::<Vec<_>>().join(" · ")
}

/// The header cell of a setup's row. It also has the facts in which the machine's setups differ,
/// except the `known` ones, which other cells show.
fn row_head(machine: &Machine, setup: &Setup, known: &[&str]) -> Markup {
    let number = machine
        .setups
        .iter()
        .position(|one| std::ptr::eq(one, setup));
    let number = number.unwrap_or(0);
    let mut varying = machine.varying();
    varying.retain(|name| !NAMED.contains(name) && !known.contains(name));
    let inputs = &machine.inputs;
    html! {
        th scope="row" {
            a href={(address(machine)) "#s" (number)} { (crate::machine::cpu(inputs)) }
            small {
                @match inputs.cores_count { 0 => "cores unknown", count => { (count) " cores" } }
                ", " (inputs.threads_count) " threads"
                @if setup.fact("CPUs of the run") != "all" { ", run on " (setup.fact("CPUs of the run")) }
                " · " (setup.fact("virtual")) " · " (setup.fact("system"))
                " · mitigations " (setup.fact("mitigations"))
                @if setup.fact("governor") != UNKNOWN { " · governor " (setup.fact("governor")) }
                @for name in &varying { " · " (name) " " (setup.fact(name)) }
                @if setup.derived { " · " b { "derived for a trial" } }
            }
            small class="disturbed" { (disturbed(setup)) }
        }
    }
}

fn disturbed(setup: &Setup) -> String {
    let found = setup.disturbances();
    let Some(first) = found.first() else {
        return "No disturbances".to_owned();
    };
    let first = first.text(setup.runs.len());
    match found.len() {
        1 => format!("Disturbed: {first}"),
        count => format!("Disturbed: {first}, and {} more", count - 1),
    }
}

fn attributes(machine: &Machine, setup: &Setup) -> Vec<(String, String)> {
    let facts = FILTERS.iter();
    let mut all: Vec<(String, String)> = facts
        .map(|name| (pick(name), filtered(setup, name).to_owned()))
        .collect();
    all.push(("cpu".to_owned(), machine.inputs.cpu_model.to_lowercase()));
    all.push((
        "threads".to_owned(),
        machine.inputs.threads_count.to_string(),
    ));
    all
}

/// The attributes as `name=value` lines.
fn facts_of(machine: &Machine, setup: &Setup) -> String {
    let all = attributes(machine, setup);
    let lines = all.iter().map(|(name, value)| format!("{name}={value}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn figure(figure: &Figure, reference: &str, lane: &str) -> Markup {
    html! {
        b { (figure.text()) }
        @if let Some(ratio) = standing(figure).filter(|_| lane != reference) { " " span class=(tone(figure.verdict)) { (ratio) } }
        " " small { (figure.interval_text()) @if figure.runs_count > 1 { ", " (figure.runs_count) " runs" } }
    }
}

/// The figure against the reference lane: `▲ 5.2×`, `▼ 12%`, `≈`, `?`.
fn standing(figure: &Figure) -> Option<String> {
    let (ratio, verdict) = (figure.ratio?, figure.verdict?);
    Some(match verdict {
        Verdict::Faster => format!("▲ {}", factor(1.0 / ratio)),
        Verdict::Slower => format!("▼ {}", factor(ratio)),
        Verdict::Same => "≈".to_owned(),
        Verdict::CannotTell => "?".to_owned(),
    })
}

fn tone(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("open", super::view::tone)
}

fn heat(figure: &Figure) -> String {
    match (figure.verdict, figure.ratio) {
        (Some(Verdict::Faster), Some(ratio)) => format!("b{}", shade(1.0 / ratio)),
        (Some(Verdict::Slower), Some(ratio)) => format!("w{}", shade(ratio)),
        _ => "open".to_owned(),
    }
}

fn signs(reference: &str) -> Markup {
    html! {
        "Ratios are to the lane “" (reference) "” of the same machine: ▲ better by that factor or percentage, ▼ worse, ≈ no difference that matters, ? too noisy to say. "
        "Figures of one run have its 95% interval. Of several runs of one machine and setup it is their median, with the range that contains all of their intervals (from six runs on, the 95% interval of the median). Figures are as submitted."
    }
}
