//! Setups that differ in one fact only: what the fact costs, as far as two machines can
//! show it.

use serde::Serialize;

use super::{Collection, Fact, Machine, Setup};
use crate::stats::quantile::median;

/// The setups that differ in one fact.
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
    /// The second.
    pub to: (&'a Machine, &'a Setup),
    /// For each question the second's figure over the first's, turned so that less is
    /// better: the median over the lanes that both have.
    pub ratios: Vec<Option<f64>>,
}

/// The pairs by the fact in which they differ, in the order of [`Fact::NAMES`].
#[must_use]
pub fn pairs(collection: &Collection) -> Vec<Change<'_>> {
    let setups: Vec<(&Machine, &Setup)> = collection.setups().collect();
    let mut changes: Vec<Change<'_>> = Fact::NAMES
        .iter()
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
            // From the lower value to the higher one.
            let is_turned = from.1.facts[fact].value > to.1.facts[fact].value;
            let (from, to) = if is_turned { (to, from) } else { (from, to) };
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

/// The place of the one fact in which the two differ. Machines with two keys and equal
/// facts differ in what is not shown (caches, stepping), and so are no pair; nor are two
/// of which one does not tell the fact.
fn only_difference(a: &(&Machine, &Setup), b: &(&Machine, &Setup)) -> Option<usize> {
    let facts = a.1.facts.iter().zip(&b.1.facts).enumerate();
    let mut differing = facts.filter(|(_, (a, b))| a.value != b.value);
    let (place, (a, b)) = differing.next()?;
    let is_only = differing.next().is_none() && a.is_told() && b.is_told();
    is_only.then_some(place)
}

fn ratios(collection: &Collection, from: &Setup, to: &Setup) -> Vec<Option<f64>> {
    let of = |question: &super::Question| {
        let place = &question.place.place;
        let (from, to) = (from.figures.get(place)?, to.figures.get(place)?);
        let both = to.iter().filter_map(|(lane, figure)| {
            let before = from.get(lane)?;
            let is_difference = figure.sign.is_empty() && before.sign.is_empty();
            figure.over(before).filter(|_| is_difference)
        });
        median(&both.collect::<Vec<_>>())
    };
    collection.questions.iter().map(of).collect()
}
