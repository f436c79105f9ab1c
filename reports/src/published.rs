//! Published figures (`published.toml`), and whether a run agrees with them.
//!
//! The ratio of two published figures is compared with the same ratio of ours. Times of other
//! machines are not compared.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::analysis::{Analysis, Row};
use crate::format;
use crate::run::Run;
use crate::schema::Parameters;
use crate::stats::bootstrap::{Interval, Ratio};

/// Ratios agree if they differ by at most this factor.
pub const AGREEMENT_FACTOR: f64 = 2.0;

static FIGURES: LazyLock<Vec<Figure>> = LazyLock::new(|| {
    let text = include_str!("../published.toml");
    let table: BTreeMap<String, Vec<Figure>> = toml::from_str(text).expect("published.toml");
    table.into_values().flatten().collect()
});

/// The published figures, in the order of the table.
#[must_use]
pub fn all() -> &'static [Figure] {
    &FIGURES
}

/// One published figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The subject of the figure.
    pub what: String,
    /// The published text.
    pub figure: String,
    /// Where it was published.
    pub source: String,
    /// The program that was measured.
    pub program: String,
    /// Its hardware, if the source names it.
    pub hardware: String,
    /// What the reader may conclude.
    pub reading: String,
    /// Why it is only shown, without a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// True for a run on one CPU, false for several; absent if that does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_cpu: Option<bool>,
    /// The cell that is divided.
    pub over: Cell,
    /// The cell by which it is divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<Cell>,
}

/// A cell of the suite that repeats one side of a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The workload's id.
    pub workload: String,
    /// The lane's name.
    pub lane: String,
    /// The parameters that matter.
    pub parameters: Parameters,
    /// The id of the quantity; absent for the main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// The published value, in our unit.
    pub value: Value,
    /// A factor for our figure, if it measures a different amount.
    #[serde(default = "one")]
    pub factor: f64,
}

fn one() -> f64 {
    1.0
}

/// A published value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// One number.
    Exact(f64),
    /// The two ends of a range.
    Range(f64, f64),
}

impl Value {
    fn ends(self) -> (f64, f64) {
        match self {
            Self::Exact(value) => (value, value),
            Self::Range(low, high) => (low, high),
        }
    }
}

/// A published figure, compared with a run.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The figure.
    pub figure: &'static Figure,
    /// Our figures as text; empty if the run has none.
    pub ours: String,
    /// Our ratio; `None` if a side was not measured.
    pub ratio: Option<Ratio>,
    /// The verdict.
    pub agreement: Agreement,
    /// Why there is no verdict; empty if there is one.
    pub reason: String,
}

/// Whether a run agrees with a published figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// The ratios are within [`AGREEMENT_FACTOR`] of each other.
    Agrees,
    /// They differ.
    Differs,
    /// No verdict is possible.
    CannotBeCompared,
}

impl Agreement {
    /// The verdict in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::CannotBeCompared => "cannot be compared",
        }
    }
}

impl Figure {
    /// The lowest and the highest published ratio.
    #[must_use]
    pub fn ratio(&self) -> Option<Interval> {
        let (low, high) = self.over.value.ends();
        let (least, most) = self.under.as_ref()?.value.ends();
        Some(Interval {
            low: low / most,
            high: high / least,
        })
    }

    /// The published ratio as text; empty if there is none.
    #[must_use]
    pub fn ratio_text(&self) -> String {
        self.ratio().map_or_else(String::new, |ratio| {
            let (low, high) = (format::times(ratio.low), format::times(ratio.high));
            match low == high {
                true => low,
                false => format::range(&low, &high),
            }
        })
    }

    /// The cells of its sides.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        std::iter::once(&self.over).chain(&self.under)
    }
}

impl Judged {
    /// Our ratio with its interval; empty if there is none.
    #[must_use]
    pub fn ratio_text(&self) -> String {
        self.ratio.map_or_else(String::new, |ratio| {
            let value = format::times(ratio.value);
            ratio.interval.map_or(value.clone(), |interval| {
                let (low, high) = (format::times(interval.low), format::times(interval.high));
                format!("{value} ({})", format::range(&low, &high))
            })
        })
    }

    /// The verdict with its reason.
    #[must_use]
    pub fn verdict_text(&self) -> String {
        match self.reason.as_str() {
            "" => self.agreement.words().to_owned(),
            reason => format!("{}: {reason}", self.agreement.words()),
        }
    }
}

/// Judges each figure with a cell in `run`, in the order of the table.
#[must_use]
pub fn judge(run: &Run, analysis: &Analysis) -> Vec<Judged> {
    let judged = all()
        .iter()
        .filter_map(|figure| judge_one(figure, run, analysis));
    judged.collect()
}

fn judge_one(figure: &'static Figure, run: &Run, analysis: &Analysis) -> Option<Judged> {
    let found: Vec<(&Cell, Vec<&Row>)> = figure
        .cells()
        .map(|cell| (cell, rows(cell, analysis)))
        .collect();
    if found.iter().all(|(_, rows)| rows.is_empty()) {
        return None;
    }
    // Both rows of one case if possible, else the largest case of each.
    let chosen: Vec<Option<&Row>> = match found.as_slice() {
        [(_, over), (_, under)] => {
            let of_one_case = over.iter().rev().find_map(|row| {
                let mut others = under.iter();
                let other =
                    others.find(|one| (&one.workload, &one.case) == (&row.workload, &row.case));
                Some(vec![Some(*row), Some(*other?)])
            });
            of_one_case.unwrap_or_else(|| vec![over.last().copied(), under.last().copied()])
        }
        sides => sides.iter().map(|(_, rows)| rows.last().copied()).collect(),
    };
    let sides = figure.cells().zip(&chosen);
    let texts = sides.filter_map(|(cell, row)| Some(text(cell, (*row)?)));
    let ours = texts.collect::<Vec<_>>().join(", ");
    let ratio = match (chosen.as_slice(), &figure.under) {
        ([Some(over), Some(under)], Some(cell)) => over.ratio_to(under).map(|ratio| {
            let inflation = [over, under]
                .map(|row| analysis.noise.inflation(&row.workload, &row.quantity))
                .into_iter()
                .fold(1.0, f64::max);
            scaled(ratio.inflated(inflation), figure.over.factor / cell.factor)
        }),
        _ => None,
    };
    let (agreement, reason) = match verdict(figure, run, &chosen, ratio) {
        Ok(true) => (Agreement::Agrees, String::new()),
        Ok(false) => (Agreement::Differs, String::new()),
        Err(reason) => (Agreement::CannotBeCompared, reason),
    };
    Some(Judged {
        figure,
        ours,
        ratio,
        agreement,
        reason,
    })
}

fn rows<'a>(cell: &Cell, analysis: &'a Analysis) -> Vec<&'a Row> {
    let is_it = |row: &&Row| {
        let is_quantity = match cell.quantity.as_deref() {
            Some(id) => row.quantity.id == id,
            None => row.quantity.rank == 0,
        };
        // A slope over the tasks has no task count in its case.
        let has_value = |(name, value): (&String, &u64)| match row.case.0.get(name) {
            Some(found) => found == value,
            None => row.quantity.id == "memory",
        };
        row.workload == cell.workload
            && row.lane == cell.lane
            && is_quantity
            && row.estimate.is_some()
            && cell.parameters.iter().all(has_value)
    };
    analysis.rows.iter().filter(is_it).collect()
}

fn text(cell: &Cell, row: &Row) -> String {
    let figure = match (row.is_resolved(), row.estimate) {
        (true, Some(estimate)) => row.quantity.unit.text(estimate.value * cell.factor),
        _ => row.value_text(),
    };
    format!("{} {figure}", row.lane)
}

fn scaled(ratio: Ratio, factor: f64) -> Ratio {
    Ratio {
        value: ratio.value * factor,
        interval: ratio.interval.map(|interval| Interval {
            low: interval.low * factor,
            high: interval.high * factor,
        }),
        ..ratio
    }
}

fn verdict(
    figure: &Figure,
    run: &Run,
    chosen: &[Option<&Row>],
    ratio: Option<Ratio>,
) -> Result<bool, String> {
    if let Some(reason) = &figure.shown {
        return Err(reason.clone());
    }
    let missing = figure.cells().zip(chosen).find(|(_, row)| row.is_none());
    if let Some((cell, _)) = missing {
        return Err(format!(
            "{} on {} was not measured",
            cell.workload, cell.lane
        ));
    }
    let cpus = run.header.design.cpus.len();
    match figure.one_cpu {
        Some(true) if cpus != 1 => return Err("it is of one CPU (--cpus)".to_owned()),
        Some(false) if cpus == 1 => return Err("it is of several CPUs".to_owned()),
        _ => {}
    }
    let is_bound = |row: &&Row| row.is_limited() || !row.is_resolved();
    if let Some(row) = chosen.iter().flatten().copied().find(is_bound) {
        return Err(format!("the figure of {} is only a bound", row.lane));
    }
    let theirs = figure.ratio().ok_or("it has no ratio")?;
    let ours = ratio
        .and_then(|ratio| ratio.interval)
        .ok_or("too few processes for an interval")?;
    let (least, most) = (
        theirs.low / AGREEMENT_FACTOR,
        theirs.high * AGREEMENT_FACTOR,
    );
    if least <= ours.low && ours.high <= most {
        Ok(true)
    } else if ours.high < least || most < ours.low {
        Ok(false)
    } else {
        Err("too noisy to say".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_the_table_is_complete() {
        assert!(all().len() >= 18 && all().iter().filter(|one| one.shown.is_none()).count() >= 18);
        for figure in all() {
            let texts = [
                &figure.what,
                &figure.figure,
                &figure.source,
                &figure.program,
                &figure.hardware,
                &figure.reading,
            ];
            assert!(texts.iter().all(|text| !text.is_empty()), "{figure:?}");
            assert!(
                figure.under.is_some() || figure.shown.is_some(),
                "{}",
                figure.what
            );
            let (low, high) = figure.over.value.ends();
            assert!(0.0 < low && low <= high, "{}", figure.what);
        }
    }

    #[test]
    fn ratio_of_ranges_has_the_widest_ends() {
        let issue = all().iter().find(|one| one.source.ends_with("/18023"));
        let ratio = issue.unwrap().ratio().unwrap();
        assert!((ratio.low - 7882.0 / 911.0).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.high - 8235.0 / 500.0).abs() < 1e-9, "{ratio:?}");
    }
}
