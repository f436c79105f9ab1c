//! The changes from one run to another on one host, cell by cell.
//!
//! 1. Processes are compared by [`crate::stats::shift`]; slopes, such as memory, by their ratio;
//!    figures that may be zero, by their difference.
//! 2. A lane and its variants are one model. The cells of other models are its drift cells. If they
//!    changed by more than their spread explains, the lane's intervals are widened
//!    ([`crate::stats::drift`]).
//! 3. Intervals are also widened by the A/A pairs of both runs ([`crate::stats::noise`]).
//! 4. All cells are judged together ([`crate::stats::verdict`]). The bound is the larger of the
//!    threshold and the typical change of the drift cells.
//!
//! Two builds measured in turn (`Run::sides`) are one run, and the processes of a round are pairs.
//!
//! The shift does not show a slow mode that became more frequent. So the verdict is *too noisy to
//! say* instead of *same* if the averages differ significantly and by more than the bound.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::analysis::{Analysis, Case, Quantity, Row, ratio_or_difference};
use crate::run::Run;
use crate::stats::FALSE_DISCOVERY_RATE;
use crate::stats::bootstrap::Ratio;
use crate::stats::difference::Difference;
use crate::stats::drift::{DriftCells, FEWEST_DRIFT_CELLS};
use crate::stats::shift::{self, Design};
use crate::stats::verdict::{Bound, Comparison, Verdict, verdicts};
use crate::{failure, format};

/// Not judged: the 99.9th percentile depends on a few requests, and neither a higher nor a lower
/// stolen share is better.
const UNJUDGED: [&str; 2] = ["latency_ns_p999", "stolen_ratio"];

/// Above this inflation, the report says that the host has changed.
const NOTABLE_INFLATION: f64 = 2.0;

/// One cell of both runs.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeRow {
    /// The workload's id.
    pub workload: String,
    /// The parameters.
    pub case: Case,
    /// The parameters in words.
    pub case_text: String,
    /// The quantity of the figure.
    pub quantity: Quantity,
    /// The lane.
    pub lane: String,
    /// The new figure ÷ the old one, with its spread inflated.
    pub ratio: Ratio,
    /// The new figure minus the old one: judged instead of the ratio if either may be zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// The factor by which the drift cells and the A/A pairs inflated the spread.
    pub inflation: f64,
    /// The new processes' average ÷ the old ones', with its spread inflated. Present if it differs
    /// significantly although the typical process does not.
    pub average: Option<Ratio>,
    /// The verdict.
    pub verdict: Verdict,
    /// The bound that the effect had to exceed.
    pub bound: Bound,
}

impl ChangeRow {
    /// True for the main figure of its workload.
    #[must_use]
    pub fn is_main(&self) -> bool {
        self.quantity.rank == 0
    }

    /// How much larger the new figure is: `+3.1%`, or `+456 B` if either may be zero.
    #[must_use]
    pub fn by(&self) -> String {
        let Some(difference) = self.difference else {
            return format!("{:+.1}%", (self.ratio.value - 1.0) * 100.0);
        };
        let unit = self.quantity.unit;
        let sign = if difference.value < 0.0 { "" } else { "+" };
        let ends = difference.interval.map_or_else(String::new, |interval| {
            let [low, high] = [interval.low, interval.high].map(|end| unit.text(end));
            format!(" ({})", format::range(&low, &high))
        });
        format!("{sign}{}{ends}", unit.text(difference.value))
    }
}

/// A cell or figure of the old run that the new run lacks.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// The workload's id.
    pub workload: String,
    /// The lane.
    pub lane: String,
    /// The cell as text. For a further figure, the title of its quantity follows.
    pub name: String,
    /// True if the main figure is missing.
    pub is_main: bool,
    /// The reason, for a reader.
    pub why: String,
}

/// The comparison of two runs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Change {
    /// The cells that both runs have.
    pub rows: Vec<ChangeRow>,
    /// What only the old run has.
    pub missing: Vec<Missing>,
    /// Limits of the comparison, as text.
    pub remarks: Vec<String>,
}

struct Pair<'a> {
    row: &'a Row,
    family: &'a str,
    /// The ratio that is judged, or the difference as a ratio.
    ratio: Ratio,
    difference: Option<Difference>,
    average: Option<Ratio>,
    /// The inflation by the A/A pairs of both runs.
    inflation: f64,
}

impl Change {
    /// Compares `new` with `base`. [`crate::gate`] checks whether they are comparable.
    #[must_use]
    pub fn between(base: &Run, new: &Run) -> Change {
        let (old_analysis, new_analysis) = (Analysis::of(base), Analysis::of(new));
        // The two sides of one run have the same id and start. Shards have only the same id.
        let identity = |run: &Run| (run.header.run_id.clone(), run.header.started.clone());
        let design = match identity(base) == identity(new) {
            true => Design::Paired,
            false => Design::Apart,
        };
        let (pairs, missing) = pairs(base, &old_analysis, &new_analysis, design);
        let threshold_ratio = old_analysis
            .threshold_ratio
            .max(new_analysis.threshold_ratio);
        let mut drifts: BTreeMap<&str, Drift> = BTreeMap::new();
        for pair in &pairs {
            drifts
                .entry(pair.family)
                .or_insert_with(|| Drift::of(pair.family, &pairs));
        }
        let judged: Vec<(&Pair<'_>, Ratio, f64, Bound)> = pairs
            .iter()
            .map(|pair| {
                let drift = &drifts[pair.family];
                let inflation = drift.inflation(&pair.row.workload).max(pair.inflation);
                let ratio = pair.ratio.inflated(inflation);
                let bound = Bound {
                    threshold_ratio,
                    noise_ratio: drift.typical_share,
                };
                (pair, ratio, inflation, bound)
            })
            .collect();
        let page: Vec<Comparison> = judged
            .iter()
            .map(|(pair, ratio, inflation, bound)| Comparison {
                ratio: pair.row.quantity.as_cost(*ratio),
                average: pair.average.map(|average| average.inflated(*inflation)),
                bound: *bound,
            })
            .collect();
        let rows = judged
            .into_iter()
            .zip(page.iter().zip(verdicts(&page, FALSE_DISCOVERY_RATE)))
            .map(|((pair, ratio, inflation, bound), (judged, verdict))| {
                let hidden = verdict == Verdict::CannotTell && judged.averages_differ();
                ChangeRow {
                    workload: pair.row.workload.clone(),
                    case: pair.row.case.clone(),
                    case_text: pair.row.case.text(base.workload(&pair.row.workload)),
                    quantity: pair.row.quantity.clone(),
                    lane: pair.row.lane.clone(),
                    ratio,
                    difference: pair.difference,
                    inflation,
                    average: judged.average.filter(|_| hidden),
                    verdict,
                    bound,
                }
            })
            .collect();
        Change {
            rows,
            missing,
            remarks: remarks(&drifts),
        }
    }
}

/// The changes of one model's drift cells.
struct Drift {
    all: DriftCells,
    by_workload: BTreeMap<String, DriftCells>,
    typical_share: f64,
}

impl Drift {
    fn of(family: &str, pairs: &[Pair<'_>]) -> Drift {
        let mut all = DriftCells::default();
        let mut by_workload: BTreeMap<String, DriftCells> = BTreeMap::new();
        for pair in pairs.iter().filter(|pair| pair.family != family) {
            all.add(&pair.ratio);
            by_workload
                .entry(pair.row.workload.clone())
                .or_default()
                .add(&pair.ratio);
        }
        Drift {
            typical_share: all.typical_share().unwrap_or(0.0),
            all,
            by_workload,
        }
    }

    fn inflation(&self, workload: &str) -> f64 {
        let own = self.by_workload.get(workload);
        let all = self.all.inflation().unwrap_or(1.0);
        own.map_or(1.0, DriftCells::largest).max(all)
    }
}

fn remarks(drifts: &BTreeMap<&str, Drift>) -> Vec<String> {
    let mut found = Vec::new();
    let known: Vec<(f64, f64)> = drifts
        .values()
        .filter_map(|drift| Some((drift.all.inflation()?, drift.typical_share)))
        .collect();
    let most = drifts.values().map(|drift| drift.all.count()).max();
    if let Some(count) = most.filter(|_| known.is_empty()) {
        let drift_cells = match count {
            0 => "no other model was measured in both runs".to_owned(),
            1 => {
                format!(
                    "both runs have 1 figure of another model, and {FEWEST_DRIFT_CELLS} are needed"
                )
            }
            _ => format!(
                "both runs have {count} figures of other models, and {FEWEST_DRIFT_CELLS} are needed"
            ),
        };
        found.push(format!(
            "{drift_cells}: a change of the host between them would look like a change of the lane; add one, as in --lane threadbare,thread"
        ));
    }
    // A real change of one model changes the drift cells of all others. So the model whose drift
    // cells changed least shows the change of the host.
    let calmest = known
        .into_iter()
        .min_by(|one, other| one.0.total_cmp(&other.0));
    if let Some((inflation, share)) = calmest.filter(|known| known.0 > NOTABLE_INFLATION) {
        found.push(format!(
            "the host changed between the runs: figures of other models changed by {}, {} times what their processes explain, and the intervals were widened by that factor. Measure both again, one after the other, on a machine that does nothing else",
            format::percent(share),
            format::number(inflation)
        ));
    }
    found
}

fn pairs<'a>(
    base: &'a Run,
    old: &'a Analysis,
    new: &'a Analysis,
    design: Design,
) -> (Vec<Pair<'a>>, Vec<Missing>) {
    fn key(row: &Row) -> (&str, &Case, &str, &str) {
        (&row.workload, &row.case, &row.quantity.id, &row.lane)
    }
    let news: BTreeMap<_, &Row> = new.rows.iter().map(|row| (key(row), row)).collect();
    let mut missing: Vec<Missing> = Vec::new();
    let mut found = Vec::new();
    let judged = |row: &&Row| {
        let is_shown_only = UNJUDGED.contains(&row.quantity.id.as_str());
        row.estimate.is_some() && !is_shown_only && !row.quantity.is_of_load()
    };
    for row in old.rows.iter().filter(judged) {
        let new_row = news.get(&key(row)).copied();
        let after = new_row.filter(|after| after.estimate.is_some());
        let is_usable = |ratio: &Ratio| ratio.value.is_finite() && ratio.value > 0.0;
        let compared = after.and_then(|after| {
            let sides = [after.replicates.as_ref()?, row.replicates.as_ref()?];
            let ratio = shift::between(&after.processes, &row.processes, design)
                .unwrap_or_else(|| sides[0].ratio(sides[1]));
            ratio_or_difference(Some(ratio).filter(is_usable), sides, &row.quantity)
        });
        let (Some(after), Some((ratio, difference))) = (after, compared) else {
            let value = |row: &Row| row.estimate.map(|estimate| estimate.value);
            // A figure that is 0 in both runs needs no verdict.
            let is_same = after.is_some_and(|after| value(after) == value(row));
            let mut name = cell_name(base, &row.workload, &row.case, &row.lane);
            let is_main = row.quantity.rank == 0;
            // If the main figure is missing, the further figures are not listed.
            let main_is_missing = missing.iter().any(|one| one.name == name);
            if !is_main {
                name = format!("{name}, {}", row.quantity.title);
            }
            if !is_same && !main_is_missing {
                missing.push(Missing {
                    workload: row.workload.clone(),
                    lane: row.lane.clone(),
                    name,
                    is_main,
                    why: why_missing(row, new_row),
                });
            }
            continue;
        };
        let inflation =
            |analysis: &Analysis| analysis.noise.inflation(&row.workload, &row.quantity);
        found.push(Pair {
            row,
            family: family(base, &row.lane),
            ratio: difference.map_or(ratio, |difference| difference.as_ratio()),
            difference,
            average: {
                let (after, before) = shift::sides(&after.processes, &row.processes, design);
                shift::averages(&after, &before, design)
            },
            inflation: inflation(old).max(inflation(new)),
        });
    }
    (found, missing)
}

/// A cell as text, such as `spawn.batch (1,000 tasks), tokio`.
pub(crate) fn cell_name(run: &Run, workload: &str, case: &Case, lane: &str) -> String {
    match case.text(run.workload(workload)).as_str() {
        "" => format!("{workload}, {lane}"),
        case => format!("{workload} ({case}), {lane}"),
    }
}

fn why_missing(old: &Row, new: Option<&Row>) -> String {
    let Some(new) = new else {
        return "not measured".to_owned();
    };
    match &new.absence {
        Some(absence) => failure::line(absence.kind, &absence.message),
        None => format!(
            "{} before and {} now, from too few processes to compare them",
            old.value_text(),
            new.value_text()
        ),
    }
}

/// The lane's model.
fn family<'a>(run: &'a Run, lane: &'a str) -> &'a str {
    run.lane(lane)
        .and_then(|lane| lane.variant_of.as_deref())
        .unwrap_or(lane)
}
