//! Our runtime against its peers. Ratios are to the peer with the best median, never to one of our
//! lanes.

use serde::Serialize;

use super::Analysis;
use super::quantity::Quantity;
use super::row::{Case, Row};
use crate::format;
use crate::run::Run;
use crate::schema::Workload;
use crate::stats::FALSE_DISCOVERY_RATE_OF_LOOKS;
use crate::stats::bootstrap::Ratio;
use crate::stats::verdict::{Comparison, Verdict, verdicts};

const PRESET: &str = "peers";

const OURS: &str = "threadbare";

/// Lanes that only switch stacks: they have no scheduler.
const FLOORS: [&str; 1] = ["corosensei"];

/// The peer table.
#[derive(Clone, Debug, Serialize)]
pub struct Peers {
    /// The lanes with a figure, in the header's order.
    pub lanes: Vec<String>,
    /// One row for each case, in the header's order.
    pub rows: Vec<PeerRow>,
}

/// One case.
#[derive(Clone, Debug, Serialize)]
pub struct PeerRow {
    /// The workload's id.
    pub workload: String,
    /// Its parameters.
    pub case: Case,
    /// The quantity that is compared.
    pub quantity: Quantity,
    /// The lanes' figures, each with its ratio to the best peer's; the best peer has none.
    pub cells: Vec<(Row, Option<Ratio>)>,
    /// The best peer; `None` if no peer has a figure.
    pub best_peer: Option<String>,
    /// Our lanes with a usable figure, each against the best peer.
    pub ours: Vec<Ours>,
    /// The lane with the best figure, then the lanes within the threshold of it, and those whose
    /// interval shows that they may be equal.
    pub winners: Vec<String>,
}

/// One of our lanes against the best peer; a ratio below 1 is better.
#[derive(Clone, Debug, Serialize)]
pub struct Ours {
    /// The lane.
    pub lane: String,
    /// Its figure ÷ the best peer's, inverted if a higher figure is better.
    pub ratio: Ratio,
    /// The verdict.
    pub verdict: Verdict,
}

impl Ours {
    /// The ratio with its interval: `0.81× (0.78 – 0.84×)`.
    #[must_use]
    pub fn ratio_text(&self) -> String {
        ratio_text(&self.ratio)
    }
}

pub(crate) fn ratio_text(ratio: &Ratio) -> String {
    let times = format::times;
    let value = times(ratio.value);
    match ratio.interval {
        Some(interval) => {
            let range = format::range(&times(interval.low), &times(interval.high));
            format!("{value} ({range})")
        }
        None => value,
    }
}

/// True for lanes of our runtime.
#[must_use]
pub fn is_ours(lane: &str) -> bool {
    lane.starts_with(OURS)
}

/// True for lanes that have no scheduler: they never win.
#[must_use]
pub fn is_floor(lane: &str) -> bool {
    FLOORS.contains(&lane)
}

impl Peers {
    /// The table, if the run has the preset `peers`.
    #[must_use]
    pub fn of(run: &Run, analysis: &Analysis) -> Option<Peers> {
        if run.header.design.preset.as_deref() != Some(PRESET) {
            return None;
        }
        let mut rows = Vec::new();
        for workload in &run.header.workloads {
            for (case, quantity) in cases(analysis, workload) {
                rows.extend(row(analysis, &workload.id, &case, &quantity));
            }
        }
        if rows.is_empty() {
            return None;
        }
        judge(&mut rows, analysis);
        let has_figure = |lane: &str| {
            rows.iter()
                .any(|row| row.cells.iter().any(|(cell, _)| cell.lane == lane))
        };
        Some(Peers {
            lanes: run
                .header
                .lanes
                .iter()
                .map(|lane| lane.name.clone())
                .filter(|lane| has_figure(lane))
                .collect(),
            rows,
        })
    }
}

fn cases(analysis: &Analysis, workload: &Workload) -> Vec<(Case, Quantity)> {
    let mut found: Vec<(Case, Quantity)> = Vec::new();
    let rows = analysis.rows_of(&workload.id);
    for row in rows.filter(|row| row.estimate.is_some()) {
        let is_telling = match workload.telling.is_empty() {
            true => row.quantity.rank == 0,
            false => workload.telling.contains(&row.quantity.id),
        };
        let known =
            |(case, quantity): &(Case, Quantity)| *case == row.case && *quantity == row.quantity;
        if is_telling && !found.iter().any(known) {
            found.push((row.case.clone(), row.quantity.clone()));
        }
    }
    found.sort_by(|a, b| (&a.0, a.1.rank).cmp(&(&b.0, b.1.rank)));
    found
}

/// The best of the usable `rows` whose lane `choose` accepts, without [`FLOORS`].
fn best<'a>(
    rows: &[&'a Row],
    quantity: &Quantity,
    choose: impl Fn(&str) -> bool,
) -> Option<&'a Row> {
    let value = |row: &Row| {
        let value = row
            .estimate
            .map_or(f64::INFINITY, |estimate| estimate.value);
        match quantity.higher_is_better {
            true => -value,
            false => value,
        }
    };
    rows.iter()
        .copied()
        .filter(|row| choose(&row.lane) && !is_floor(&row.lane) && is_usable(row))
        .min_by(|a, b| value(a).total_cmp(&value(b)))
}

/// False for memory that may be zero, which shows only the host's noise, and for a figure that is
/// not above zero, which has no ratio.
fn is_usable(row: &Row) -> bool {
    row.is_resolved() && row.estimate.is_some_and(|estimate| estimate.value > 0.0)
}

fn row(analysis: &Analysis, workload: &str, case: &Case, quantity: &Quantity) -> Option<PeerRow> {
    let all: Vec<&Row> = analysis
        .rows_of(workload)
        .filter(|row| row.case == *case && row.quantity == *quantity && row.estimate.is_some())
        .collect();
    let ratio = |row: &Row, to: &Row| analysis.ratio(row, to);
    let winner = best(&all, quantity, |_| true)?;
    let best_peer = best(&all, quantity, |lane| !is_ours(lane));
    let bound = analysis.bound();
    let mut winners = vec![winner.lane.clone()];
    winners.extend(
        all.iter()
            .filter(|row| row.lane != winner.lane && !is_floor(&row.lane))
            .filter(|row| {
                ratio(row, winner).is_some_and(|ratio| {
                    let within = ratio.value.ln() <= bound.effect().ln_1p();
                    within
                        || ratio
                            .interval
                            .is_some_and(|interval| interval.contains(1.0))
                })
            })
            .map(|row| row.lane.clone()),
    );
    let ours = all
        .iter()
        .filter(|row| is_ours(&row.lane) && is_usable(row));
    let ours = ours.filter_map(|ours| {
        Some(Ours {
            lane: ours.lane.clone(),
            ratio: ratio(ours, best_peer?)?,
            verdict: Verdict::CannotTell,
        })
    });
    Some(PeerRow {
        workload: workload.to_owned(),
        case: case.clone(),
        quantity: quantity.clone(),
        cells: all
            .iter()
            .map(|row| {
                let to_peer = best_peer.filter(|peer| peer.lane != row.lane);
                ((*row).clone(), to_peer.and_then(|peer| ratio(row, peer)))
            })
            .collect(),
        best_peer: best_peer.map(|row| row.lane.clone()),
        ours: ours.collect(),
        winners,
    })
}

/// Judges all rows together. A run may be judged several times while it is measured, so the false
/// discovery rate is the low one for all [`looks`](crate::stats::looks) together.
fn judge(rows: &mut [PeerRow], analysis: &Analysis) {
    let page: Vec<Comparison> = rows
        .iter()
        .flat_map(|row| &row.ours)
        .map(|ours| Comparison::new(ours.ratio, analysis.bound()))
        .collect();
    let ours = rows.iter_mut().flat_map(|row| &mut row.ours);
    for (ours, verdict) in ours.zip(verdicts(&page, FALSE_DISCOVERY_RATE_OF_LOOKS)) {
        ours.verdict = verdict;
    }
}
