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
use crate::format;
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

/// The place of a setup on its machine's page.
fn setup_address(machine: &Machine, setup: &Setup) -> String {
    let mut setups = machine.setups.iter();
    let number = setups.position(|one| std::ptr::eq(one, setup));
    format!("{}#s{}", address(machine), number.unwrap_or(0))
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

/// The days of the first and of the last run.
fn days(collection: &Collection) -> Option<(&str, &str)> {
    let runs = collection.setups().flat_map(|(_, setup)| &setup.runs);
    let days: Vec<&str> = runs.filter_map(|run| run.started.get(..10)).collect();
    Some((*days.iter().min()?, *days.iter().max()?))
}

fn hero(collection: &Collection, title: &str, text: &Markup) -> Markup {
    html! {
        header class="hero" id="top" {
            div class="wrap broad" {
                p class="eyebrow" {
                    "threadbare · results of many machines"
                    @match days(collection) {
                        Some((first, last)) if first == last => { " · runs of " (last) }
                        Some((first, last)) => { " · runs from " (first) " to " (last) }
                        None => {}
                    }
                }
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

/// The script shows the number of setups that are left.
fn filters<'a>(collection: &Collection, names: impl Iterator<Item = &'a str>) -> Markup {
    html! {
        div class="filters" role="group" aria-label="Filters" {
            label { "Find " input id="find" type="search" placeholder="EPYC, Neoverse, 6.18, …" title="Find a machine by one or more words (/)"; }
            (choices(collection))
            (columns(names))
            button id="reset" type="button" { "Show all" }
            span id="count" role="status" {}
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
    "virtual",
    "system",
    "mitigations",
    "governor",
    "CPU",
    "CPUs of the run",
];

/// How many of [`NAMED`] [`described`] lists after the size.
const LISTED: usize = 4;

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

/// The setup in a few words, such as `2 cores, 4 threads · kvm · Debian 12 · mitigations on`, with
/// the facts in which the machine's setups differ. Other cells show the `known` facts.
fn described(machine: &Machine, setup: &Setup, known: &[&str]) -> String {
    let inputs = &machine.inputs;
    let mut parts = Vec::new();
    if !known.contains(&"cores") && !known.contains(&"threads per core") {
        let cores = match inputs.cores_count {
            0 => "cores unknown".to_owned(),
            count => format::counted(count as usize, "core"),
        };
        let threads = format::counted(inputs.threads_count as usize, "thread");
        let cpus = match setup.fact("CPUs of the run") {
            "all" => String::new(),
            _ if known.contains(&"CPUs of the run") => String::new(),
            cpus => format!(", run on {cpus}"),
        };
        parts.push(format!("{cores}, {threads}{cpus}"));
    }
    let mut names = NAMED[..LISTED].to_vec();
    names.extend(
        machine
            .varying()
            .iter()
            .filter(|name| !NAMED.contains(name)),
    );
    names.retain(|name| !known.contains(name));
    for name in names {
        match (name, setup.fact(name)) {
            ("virtual" | "system", value) => parts.push(value.to_owned()),
            ("governor", UNKNOWN) => {}
            (name, value) => parts.push(format!("{name} {value}")),
        }
    }
    parts.join(" · ")
}

/// The header cell of a setup's row.
fn row_head(machine: &Machine, setup: &Setup, known: &[&str]) -> Markup {
    html! {
        th scope="row" {
            a href=(setup_address(machine, setup)) { (crate::machine::cpu(&machine.inputs)) }
            small {
                (described(machine, setup, known))
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

/// The facts by which the script filters, and which it shows for two machines side by side, as
/// `name=value` lines.
fn facts_of(machine: &Machine, setup: &Setup) -> String {
    let main = setup.facts.iter().filter(|fact| !fact.is_setting());
    let mut lines: Vec<String> = main
        .map(|fact| format!("{}={}", pick(fact.name), fact.value))
        .collect();
    lines.push(format!("threads={}", machine.inputs.threads_count));
    lines.push(format!("{DISTURBANCES}={}", setup.disturbed().words()));
    lines.join("\n")
}

fn figure(figure: &Figure, reference: &str, lane: &str) -> Markup {
    html! {
        b { (figure.text()) }
        @if let Some(ratio) = standing(figure).filter(|_| lane != reference) { " " span class=(tone(figure.verdict)) { (ratio) } }
        " " small { (figure.interval_text()) @if figure.runs_count > 1 { ", " (figure.runs_count) " runs" } }
    }
}

/// The lowest cost in a column.
fn best_of<'a>(figures: impl Iterator<Item = &'a Figure>) -> Option<&'a Figure> {
    figures.min_by(|a, b| a.cost().total_cmp(&b.cost()))
}

/// The figure against the best one of its column.
fn beside(figure: &Figure, best: Option<&Figure>) -> Markup {
    let text = best.and_then(|best| against(figure, best));
    html! { @if let Some(text) = text { small class="beside" { (text) } } }
}

/// `best`, `tied` or `1.80× the best`. `None` if the figure is a bound that may be as good.
fn against(figure: &Figure, best: &Figure) -> Option<String> {
    if std::ptr::eq(figure, best) {
        return Some("best".to_owned());
    }
    if figure.overlaps(best) {
        return Some("tied".to_owned());
    }
    let ratio = figure.value / best.value;
    let is_known = figure.sign.is_empty() && ratio.is_finite() && ratio > 0.0;
    // If the best figure is a bound, the best machine may be better than that.
    let bound = match (best.sign, best.higher_is_better) {
        ("", _) => "",
        (_, true) => "at most ",
        (_, false) => "at least ",
    };
    is_known.then(|| format!("{bound}{} the best", format::times(ratio)))
}

const BESIDE: &str = " “1.8× the best” is the figure ÷ the best figure of the column, over all rows. “tied”: the intervals of the two overlap.";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Unit;
    use crate::stats::bootstrap::Interval;

    #[test]
    fn figure_is_best_or_tied_or_a_factor_of_the_best() {
        let figure = |value: f64| Figure {
            value,
            interval: Some(Interval {
                low: value * 0.9,
                high: value * 1.1,
            }),
            runs_count: 1,
            ratio: None,
            verdict: None,
            sign: "",
            reach: 1.0,
            unit: Unit::Nanoseconds,
            higher_is_better: false,
        };
        let bound = |value: f64| Figure {
            interval: None,
            sign: "at most\u{a0}",
            ..figure(value)
        };
        let rate = |value: f64, sign: &'static str| Figure {
            sign,
            higher_is_better: true,
            ..figure(value)
        };
        let best = figure(100.0);
        assert_eq!(against(&best, &best).as_deref(), Some("best"));
        for (one, best, expected) in [
            (figure(110.0), best.clone(), Some("tied")),
            (figure(180.0), best.clone(), Some("1.80× the best")),
            (bound(180.0), best, None),
            (figure(180.0), bound(100.0), Some("at least 1.80× the best")),
            (rate(50.0, ""), rate(100.0, ""), Some("0.500× the best")),
            (
                rate(50.0, ""),
                rate(100.0, "at least\u{a0}"),
                Some("at most 0.500× the best"),
            ),
        ] {
            assert_eq!(against(&one, &best).as_deref(), expected, "{one:?}");
        }
    }
}
