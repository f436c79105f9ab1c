//! Pairs of setups that differ in one fact: they indicate its effect.

use std::cmp::Ordering;

use serde::Serialize;

use super::{Collection, Fact, Machine, Setup, release_order};
use crate::stats::quantile::median;

/// The pairs of setups that differ in one fact.
#[derive(Clone, Debug, Serialize)]
pub struct Change<'a> {
    /// The fact's name.
    pub fact: &'static str,
    /// The pairs, in the order of the machines.
    pub pairs: Vec<Pair<'a>>,
}

/// Two setups that differ in one fact.
#[derive(Clone, Debug, Serialize)]
pub struct Pair<'a> {
    /// The first, with its machine.
    pub from: (&'a Machine, &'a Setup),
    /// The second, with its machine.
    pub to: (&'a Machine, &'a Setup),
    /// For each question, the second setup's figure ÷ the first's, inverted if a higher figure is
    /// better: the median over common lanes.
    pub ratios: Vec<Option<f64>>,
}

/// The pairs of setups, in the order of [`Fact::names`].
#[must_use]
pub fn pairs(collection: &Collection) -> Vec<Change<'_>> {
    let setups: Vec<(&Machine, &Setup)> = collection.setups().collect();
    let mut changes: Vec<Change<'_>> = Fact::names()
        .map(|fact| Change {
            fact,
            pairs: Vec::new(),
        })
        .collect();
    for (place, from) in setups.iter().enumerate() {
        for to in &setups[place + 1..] {
            let Some(fact) = only_difference(from, to) else {
                continue;
            };
            // The first setup has the lower value.
            let is_swapped = order(fact, from.1, to.1).is_gt();
            let (from, to) = if is_swapped { (to, from) } else { (from, to) };
            changes[fact].pairs.push(Pair {
                from: *from,
                to: *to,
                ratios: ratios(collection, from.1, to.1),
            });
        }
    }
    changes.retain(|change| !change.pairs.is_empty());
    changes
}

/// The index of the only fact in which the two differ. `None` if one of its values is unknown. Two
/// machines with equal facts make no pair, because they differ in something that is not shown
/// (caches, stepping).
fn only_difference(a: &(&Machine, &Setup), b: &(&Machine, &Setup)) -> Option<usize> {
    let facts = a.1.facts.iter().zip(&b.1.facts).enumerate();
    let mut differing = facts.filter(|(_, (a, b))| a.value != b.value);
    let (place, (a, b)) = differing.next()?;
    let is_only = differing.next().is_none() && a.is_told() && b.is_told();
    is_only.then_some(place)
}

/// Orders builds by date, and other facts by their numbers, or by their text if the numbers are
/// equal.
fn order(fact: usize, a: &Setup, b: &Setup) -> Ordering {
    let started = |setup: &Setup| setup.runs.first().map(|run| run.started.clone());
    let (a_fact, b_fact) = (&a.facts[fact], &b.facts[fact]);
    match a_fact.name {
        "suite" => started(a).cmp(&started(b)),
        _ => release_order(&a_fact.value, &b_fact.value),
    }
}

fn ratios(collection: &Collection, from: &Setup, to: &Setup) -> Vec<Option<f64>> {
    let of = |question: &super::Question| {
        let place = &question.place.place;
        let (from, to) = (from.figures.get(place)?, to.figures.get(place)?);
        let both = to.iter().filter_map(|(lane, figure)| {
            let before = from.get(lane)?;
            let neither_is_bound = figure.sign.is_empty() && before.sign.is_empty();
            figure.over(before).filter(|_| neither_is_bound)
        });
        median(&both.collect::<Vec<_>>())
    };
    collection.questions.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Figures, Kept};
    use super::*;

    #[test]
    fn values_are_ordered_by_number_and_builds_by_date() {
        let setup = |name: &str, value: &str, started: &str| Setup {
            facts: Fact::names()
                .map(|fact| Fact {
                    name: fact,
                    value: if fact == name { value } else { "" }.to_owned(),
                })
                .collect(),
            cpus_count: 1,
            runs: vec![Kept {
                file: String::new(),
                started: started.to_owned(),
                run_id: String::new(),
                disturbances: Vec::new(),
                raw: None,
                figures: Figures::new(),
            }],
            figures: Figures::new(),
            derived: false,
        };
        for (name, lower, higher) in [
            ("tokio", "1.9.0", "1.54.1"),
            ("cores", "8", "16"),
            ("memory", "8 GiB", "64 GiB"),
            ("governor", "performance", "schedutil"),
            ("suite", "0.1.0 b", "0.1.0 a"),
        ] {
            let fact = Fact::names().position(|fact| fact == name).unwrap();
            let before = setup(name, lower, "2026-11-28T08:00:00+00:00");
            let after = setup(name, higher, "2026-11-29T08:00:00+00:00");
            assert!(order(fact, &before, &after).is_lt(), "{name}");
            assert!(order(fact, &after, &before).is_gt(), "{name}");
        }
    }
}
