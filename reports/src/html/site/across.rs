//! Results of several machines: verdicts by the number of cores, pairs that differ in one fact, and
//! the age of the releases.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{address, days, described, document, hero, setup_address, sheet, words};
use crate::format;
use crate::html::view::capital;
use crate::site::{Change, Collection, Machine, Pair, Question, Setup, pairs, release_order};
use crate::stats::Verdict;
use crate::stats::quantile::quantile_of_sorted;

const MOST_PAIRS: usize = 50;

const MOST_MACHINES: usize = 10;

/// The facts that name a release, whose age the page shows.
const AGED: [&str; 4] = ["suite", "Go", "tokio", "Rust"];

pub(super) fn page(collection: &Collection) -> String {
    let text =
        html! { "What several machines show together. No figure is averaged over machines." };
    let body = html! {
        (hero(collection, "Across machines", &text))
        main id="main" class="wrap broad" {
            section id="cores" {
                h2 { "Verdicts by the number of cores" }
                p class="lead" {
                    "On how many machines a lane is better (▲), as good (≈) or worse (▼) than " (collection.reference_lane)
                    ", and on how many that is too noisy to say (?). If the verdicts change with the number of cores, that number may be the cause. "
                    "A machine counts once, by its newest setup on all of its CPUs."
                }
                @for question in &collection.questions { (by_cores(collection, question)) }
            }
            section id="one-fact" { (one_fact(collection)) }
            section id="releases" { (releases(collection)) }
        }
    };
    document(collection, "threadbare: across machines", "", &body)
}

/// The numbers of verdicts: better, no difference, worse, too noisy to say.
#[derive(Clone, Copy, Default)]
struct Counts([usize; 4]);

impl Counts {
    fn add(&mut self, verdict: Verdict) {
        let place = match verdict {
            Verdict::Faster => 0,
            Verdict::Same => 1,
            Verdict::Slower => 2,
            Verdict::CannotTell => 3,
        };
        self.0[place] += 1;
    }

    fn text(self) -> String {
        let signs = ["▲", "≈", "▼", "?"].iter().zip(self.0);
        let parts = signs.filter(|(_, count)| *count > 0);
        let parts: Vec<String> = parts
            .map(|(sign, count)| format!("{sign}\u{a0}{count}"))
            .collect();
        parts.join(" ")
    }

    /// Blue if more verdicts are better than worse, orange if fewer; darker if all are better, or
    /// all worse.
    fn class(self) -> &'static str {
        match self.0 {
            [_, 0, 0, 0] => "b2",
            [0, 0, _, 0] => "w2",
            [better, _, worse, _] if better > worse => "b1",
            [better, _, worse, _] if better < worse => "w1",
            _ => "open",
        }
    }
}

fn by_cores(collection: &Collection, question: &Question) -> Markup {
    let mut rows: BTreeMap<u32, (usize, BTreeMap<&str, Counts>)> = BTreeMap::new();
    let place = &question.place.place;
    for machine in &collection.machines {
        // A machine counts by its newest setup on all CPUs that has this figure.
        let mut setups = machine.setups.iter().filter(|one| one.has_all_cpus());
        let Some(lanes) = setups.find_map(|setup| setup.figures.get(place)) else {
            continue;
        };
        let row = rows.entry(machine.inputs.cores_count).or_default();
        row.0 += 1;
        for (lane, figure) in lanes {
            if let Some(verdict) = figure.verdict {
                row.1.entry(lane).or_default().add(verdict);
            }
        }
    }
    let lanes: Vec<&String> = collection
        .lanes
        .iter()
        .filter(|lane| {
            rows.values()
                .any(|(_, lanes)| lanes.contains_key(lane.as_str()))
        })
        .collect();
    let (name, what) = words(question.question);
    let table = html! {
        table class="heat" data-name={"cores-" (name.to_lowercase())} {
            caption { "Cheapest " (what) ": " (question.place.title) }
            thead { tr {
                th class="words" scope="col" { "Cores" } th scope="col" { "Machines" }
                @for lane in &lanes { th scope="col" { (lane) } }
            } }
            tbody {
                @for (cores, (count, own)) in &rows {
                    tr {
                        th scope="row" { @match cores { 0 => "unknown", cores => (cores) } }
                        td class="open" { (count) }
                        @for lane in &lanes {
                            @match own.get(lane.as_str()) {
                                Some(counts) => td class=(counts.class()) { (counts.text()) },
                                None => td class="none" { "–" },
                            }
                        }
                    }
                }
            }
        }
    };
    sheet(what, &table)
}

fn one_fact(collection: &Collection) -> Markup {
    let changes = pairs(collection);
    html! {
        h2 { "Pairs that differ in one fact" }
        p class="lead" {
            "Each line compares two setups that differ in no other known fact. The figure is the second ÷ the first, the median over the lanes. "
            "Below 1× the second is better. The line above a table has the median over its pairs, and the range of their middle half. One pair may differ by chance; several with the same difference are evidence."
        }
        @if changes.is_empty() { p { "No two setups differ in one fact only." } }
        @for change in &changes { (change_table(collection, change)) }
    }
}

fn change_table(collection: &Collection, change: &Change<'_>) -> Markup {
    let shown = &change.pairs[..change.pairs.len().min(MOST_PAIRS)];
    let table = html! {
        table data-name={"pairs-" (super::pick(change.fact))} {
            caption { (change.fact) }
            thead { tr {
                th class="words" scope="col" { "Machine" }
                th class="words" scope="col" { "First" } th class="words" scope="col" { "Second" }
                @for question in &collection.questions { th scope="col" { (words(question.question).0) } }
            } }
            tbody { @for pair in shown { (pair_row(change.fact, pair)) } }
        }
    };
    html! {
        h3 { (capital(change.fact)) }
        ul class="ranked notes" {
            @for (place, question) in collection.questions.iter().enumerate() {
                @let ratios = change.pairs.iter().filter_map(|pair| pair.ratios[place]).collect();
                @if let Some(text) = summary(ratios) { li { b { (words(question.question).0) } ": " (text) } }
            }
        }
        (sheet(change.fact, &table))
        @if change.pairs.len() > shown.len() {
            p class="notes" { (shown.len()) " of " (change.pairs.len()) " pairs are shown." }
        }
    }
}

/// The ratios together: `10 pairs: median 1.10×, middle half 1.07 – 1.16×, 9 above 1×`.
fn summary(mut ratios: Vec<f64>) -> Option<String> {
    ratios.sort_by(f64::total_cmp);
    let quantile = |share| quantile_of_sorted(&ratios, share).map(format::times);
    let [low, middle, high] = [quantile(0.25)?, quantile(0.5)?, quantile(0.75)?];
    let above = ratios.iter().filter(|ratio| **ratio > 1.0).count();
    Some(format!(
        "{}: median {middle}, middle half {}, {above} above 1×",
        format::counted(ratios.len(), "pair"),
        format::range(&low, &high)
    ))
}

fn pair_row(fact: &str, pair: &Pair<'_>) -> Markup {
    let side = |(machine, setup): (&Machine, &Setup)| html! { a href=(setup_address(machine, setup)) { (setup.fact(fact)) } };
    html! {
        tr {
            th scope="row" { (crate::machine::cpu(&pair.from.0.inputs)) small { (described(pair.from.0, pair.from.1, &[fact])) } }
            td class="words" { (side(pair.from)) } td class="words" { (side(pair.to)) }
            @for ratio in &pair.ratios {
                @match ratio {
                    Some(ratio) => td { (format::times(*ratio)) },
                    None => td class="none" { "–" },
                }
            }
        }
    }
}

fn releases(collection: &Collection) -> Markup {
    html! {
        h2 { "How old the releases are" }
        p class="lead" {
            "Figures of an old release may not hold for the newest one. A machine without the newest release is worth another run. "
            "The newest release is the newest of the runs here"
            @if let Some((_, last)) = days(collection) { ", of which the last is of " (last) }
            "; there may be a newer one."
        }
        @for name in AGED { (release(collection, name)) }
    }
}

#[derive(Default)]
struct Released<'a> {
    runs_count: usize,
    last_day: &'a str,
    machines: Vec<&'a Machine>,
}

fn release(collection: &Collection, name: &str) -> Markup {
    let mut rows: BTreeMap<&str, Released<'_>> = BTreeMap::new();
    for (machine, setup) in collection.setups() {
        let row = rows.entry(setup.fact(name)).or_default();
        row.runs_count += setup.runs.len();
        let day = setup.runs[0].started.get(..10).unwrap_or_default();
        row.last_day = row.last_day.max(day);
        // The setups of a machine are consecutive.
        if row
            .machines
            .last()
            .is_none_or(|last| last.key != machine.key)
        {
            row.machines.push(machine);
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    // Releases of one version are ordered by the day of their last run.
    rows.sort_by(|(a, a_row), (b, b_row)| {
        let version = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
        release_order(&version(b), &version(a)).then_with(|| b_row.last_day.cmp(a_row.last_day))
    });
    let table = html! {
        table data-name={"release-" (name.to_lowercase())} {
            caption { (name) }
            thead { tr {
                th class="words" scope="col" { "Release" } th scope="col" { "Runs" } th class="words" scope="col" { "Last run" }
                th class="words" scope="col" { "Machines" }
            } }
            tbody {
                @for (value, row) in &rows {
                    tr {
                        th scope="row" { (value) } td { (row.runs_count) } td class="words open" { (row.last_day) }
                        td class="wrapped" { (machines(&row.machines)) }
                    }
                }
            }
        }
    };
    sheet(name, &table)
}

fn machines(all: &[&Machine]) -> Markup {
    let (shown, others) = all.split_at(all.len().min(MOST_MACHINES));
    html! {
        @for (place, machine) in shown.iter().enumerate() {
            @if place > 0 { ", " }
            a href=(address(machine)) { (crate::machine::cpu(&machine.inputs)) }
        }
        @if !others.is_empty() { ", and " (others.len()) " more" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_summed_up_by_their_median_and_their_middle_half() {
        let ratios = vec![1.16, 0.9, 1.07, 1.1, 1.5];
        let text = "5 pairs: median 1.10×, middle half 1.07 – 1.16×, 4 above 1×";
        assert_eq!(summary(ratios).as_deref(), Some(text));
        assert_eq!(summary(Vec::new()), None);
    }
}
