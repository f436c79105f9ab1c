//! One line of the tables: a lane's figure on a case, or why there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::cells::{Cell, between};
use super::quantity::{HEADROOM, LEAST_HEADROOM, Quantity, Source};
use crate::run::Run;
use crate::schema::{FailureKind, Parameters, Workload};
use crate::stats::bootstrap::{Estimate, Ratio, Replicates};
use crate::stats::difference::Difference;
use crate::stats::verdict::{Bound, Verdict};
use crate::{failure, format};

/// With fewer processes than this the interval of a median is from the least to
/// the most of them, and holds the truth less often than 95%: with five 93.75%.
const FEWEST_FOR_MEDIAN: usize = 6;

/// The parameters that distinguish the cases of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Case(pub Parameters);

impl Case {
    pub(crate) fn of(parameters: &Parameters) -> Case {
        Case(parameters.clone())
    }

    pub(crate) fn without(parameters: &Parameters, name: &str) -> Case {
        let mut parameters = parameters.clone();
        parameters.remove(name);
        Case(parameters)
    }

    /// With only those of its parameters that `keeps` says.
    #[must_use]
    pub fn only(&self, keeps: impl Fn(&str) -> bool) -> Case {
        let mut kept = self.clone();
        kept.0.retain(|name, _| keeps(name));
        kept
    }

    /// As it is displayed, with words for the values that are codes.
    #[must_use]
    pub fn text(&self, workload: Option<&Workload>) -> String {
        let words = |(name, value): (&String, &u64)| {
            workload
                .and_then(|workload| workload.words_of_code(name, *value))
                .map_or_else(|| format::parameter(name, *value), str::to_owned)
        };
        self.0.iter().map(words).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Case {
    /// Such as `1,000 tasks, payload 64 B`; empty without parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(None))
    }
}

/// A lane's figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload's id.
    pub workload: String,
    /// The parameters.
    pub case: Case,
    /// What the figure is of.
    pub quantity: Quantity,
    /// The lane's name.
    pub lane: String,
    /// The figure; `None` where there is none.
    pub estimate: Option<Estimate>,
    /// How it stands against the reference lane; `None` for the reference
    /// itself and where the reference has no figure.
    pub standing: Option<Standing>,
    /// Why there is no figure; `None` where there is one.
    pub absence: Option<Absence>,
    /// Fresh processes behind the figure.
    pub processes_count: usize,
    /// Samples behind the figure.
    pub samples_count: usize,
    /// Samples that lie far out; they are in the figure.
    pub outliers_count: usize,
    /// The mean in place of the median: what cost is where it is paid in lumps, as
    /// by a collector.
    pub mean: Option<f64>,
    /// CPU time of one operation.
    pub cpu_ns: Option<f64>,
    /// Voluntary switches of one operation.
    pub voluntary_switches: Option<f64>,
    /// Involuntary switches of one operation.
    pub involuntary_switches: Option<f64>,
    /// Events of one operation, by their names, as they were counted while the
    /// cell was tried.
    pub events: BTreeMap<String, f64>,
    /// How many times its set rate the load generator can do, where
    /// there is one.
    pub headroom_ratio: Option<f64>,
    /// The figure's resamples, for ratios to other runs.
    #[serde(skip)]
    pub(crate) replicates: Option<Replicates>,
    /// The figure of each process, for how it has changed since another run.
    #[serde(skip)]
    pub(crate) processes: BTreeMap<u64, f64>,
}

/// How a figure stands against the reference lane's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// The lane that the ratio is against.
    pub reference_lane: String,
    /// The figure over the reference's.
    pub ratio: Ratio,
    /// The figure less the reference's, where one of them may be nothing: then
    /// it is what is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// What may be said of it.
    pub verdict: Verdict,
    /// What the effect had to exceed.
    pub bound: Bound,
}

/// Why there is no figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Absence {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// For a person.
    pub message: String,
}

impl Row {
    pub(super) fn of(cell: &Cell) -> Row {
        Row {
            workload: cell.workload.clone(),
            case: cell.case.clone(),
            quantity: cell.quantity.clone(),
            lane: cell.lane.clone(),
            estimate: Some(cell.replicates.estimate()),
            standing: None,
            absence: None,
            processes_count: cell.processes_count,
            samples_count: cell.samples_count,
            outliers_count: cell.outliers_count,
            mean: cell.mean,
            cpu_ns: cell.cpu_ns,
            voluntary_switches: cell.switches.map(|switches| switches.0),
            involuntary_switches: cell.switches.map(|switches| switches.1),
            events: BTreeMap::new(),
            headroom_ratio: None,
            replicates: (!cell.control).then(|| cell.replicates.clone()),
            processes: cell.processes.clone(),
        }
        .only_mains(cell.control)
    }

    /// A control cell becomes a row without a figure, which
    /// [`sort`] takes out: rows and cells keep the same places until then.
    fn only_mains(mut self, control: bool) -> Row {
        if control {
            self.estimate = None;
        }
        self
    }

    /// This figure over another's of the same run, as
    /// [`Cell::ratio_to`](super::cells::Cell::ratio_to) says.
    pub(crate) fn ratio_to(&self, other: &Row) -> Option<Ratio> {
        let of_slopes = || Some(self.replicates.as_ref()?.ratio(other.replicates.as_ref()?));
        let ratio = between(&self.processes, &other.processes).or_else(of_slopes)?;
        (ratio.value.is_finite() && ratio.value > 0.0).then_some(ratio)
    }

    /// How far the figures of its processes lie apart: the largest over the smallest.
    /// None for fewer than two, and where one of them is not above zero.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        let values = || self.processes.values().copied();
        let least = values().fold(f64::INFINITY, f64::min);
        let most = values().fold(0.0, f64::max);
        (values().len() > 1 && least > 0.0).then(|| most / least)
    }

    /// False where a figure that is a difference may as well be nothing: the
    /// memory of light tasks, where there were too few of them.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        let is_above_zero = |estimate: &Estimate| {
            estimate.value > 0.0 && estimate.interval.is_none_or(|interval| interval.low > 0.0)
        };
        self.quantity.source != Source::Memory || self.estimate.as_ref().is_none_or(is_above_zero)
    }

    /// True where the load generator may be what limits the figure: the lane
    /// can do at least as well.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        let is_near = |headroom: f64| headroom < LEAST_HEADROOM;
        self.headroom_ratio.is_some_and(is_near) && !self.quantity.bound_sign().is_empty()
    }

    /// The figure with its unit, with a sign where it is only a bound; `n/a`
    /// where there is none.
    #[must_use]
    pub fn value_text(&self) -> String {
        match &self.estimate {
            Some(estimate) if !self.is_resolved() => {
                let most = estimate.interval.map_or(estimate.value, |one| one.high);
                format!("at most {}", self.quantity.unit.text(most.max(0.0)))
            }
            Some(estimate) => {
                let sign = match self.is_limited() {
                    true => self.quantity.bound_sign(),
                    false => "",
                };
                format!("{sign}{}", self.quantity.unit.text(estimate.value))
            }
            None => "n/a".to_owned(),
        }
    }

    /// The interval with its unit, such as `305 – 318 ns`, and what it is where
    /// the processes are too few for one of 95%; empty where there is none.
    #[must_use]
    pub fn interval_text(&self) -> String {
        let interval = self.estimate.and_then(|estimate| estimate.interval);
        interval.map_or_else(String::new, |interval| {
            let unit = self.quantity.unit;
            let range = format::range(&unit.text(interval.low), &unit.text(interval.high));
            match self.processes.len() {
                count @ 1..FEWEST_FOR_MEDIAN => format!("{range} (all of {count})"),
                _ => range,
            }
        })
    }

    /// The ratio to the reference lane, such as `0.012×`, or the difference from
    /// it, such as `+456 B`, where one of them may be nothing; empty where there
    /// is neither.
    #[must_use]
    pub fn ratio_text(&self) -> String {
        self.standing
            .as_ref()
            .map_or_else(String::new, |standing| match standing.difference {
                Some(Difference { value, .. }) if value >= 0.0 => {
                    format!("+{}", self.quantity.unit.text(value))
                }
                Some(difference) => self.quantity.unit.text(difference.value),
                None => format::times(standing.ratio.value),
            })
    }

    /// The verdict in the words that fit; `reference` for the reference
    /// lane, and the reason where there is no figure or no comparison.
    #[must_use]
    pub fn verdict_text(&self, reference_lane: &str) -> String {
        match (&self.standing, &self.absence) {
            (Some(standing), _) => self.quantity.words(standing.verdict).to_owned(),
            (None, Some(absence)) if self.estimate.is_none() => {
                failure::line(absence.kind, &absence.message)
            }
            (None, _) if self.quantity.is_of_load() => "no verdict (load generator)".to_owned(),
            (None, _) if self.lane == reference_lane => "reference".to_owned(),
            (None, _) => format!("no comparison with {reference_lane}"),
        }
    }
}

/// Adds to each row what was counted of its cell.
pub(super) fn add_events(rows: &mut [Row], run: &Run) {
    let counted: BTreeMap<_, _> = run
        .counters
        .iter()
        .map(|one| {
            let case = Case::of(&one.parameters);
            ((one.workload.as_str(), one.lane.as_str(), case), one)
        })
        .collect();
    for row in rows {
        let key = (row.workload.as_str(), row.lane.as_str(), row.case.clone());
        if let Some(counters) = counted.get(&key) {
            let of_one = |name: &String| Some((name.clone(), counters.of_one(name)?));
            row.events = counters.events.keys().filter_map(of_one).collect();
        }
    }
}

/// Adds to each row what the load generator had left when it was measured.
pub(super) fn add_headroom(rows: &mut [Row]) {
    let key = |row: &Row| (row.workload.clone(), row.lane.clone(), row.case.clone());
    let known: BTreeMap<_, f64> = rows
        .iter()
        .filter(|row| row.quantity.id == HEADROOM)
        .filter_map(|row| Some((key(row), row.estimate?.value)))
        .collect();
    if known.is_empty() {
        return;
    }
    for row in rows {
        row.headroom_ratio = known.get(&key(row)).copied();
    }
}

/// Rows for the cells that have no figure: what failed, and what a lane said
/// that it cannot run.
pub(super) fn absences(run: &Run, rows: &[Row]) -> Vec<Row> {
    let have: BTreeSet<(&str, &str, &Case)> = rows
        .iter()
        .filter(|row| row.estimate.is_some())
        .map(|row| (row.workload.as_str(), row.lane.as_str(), &row.case))
        .collect();
    let measured: BTreeSet<(&str, &str)> = have
        .iter()
        .map(|(workload, lane, _)| (*workload, *lane))
        .collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for failure in &run.failures {
        let case = Case::of(&failure.parameters);
        let named = (failure.workload.as_str(), failure.lane.as_str());
        // Without parameters it is one of the lane's processes, not a case.
        if case.0.is_empty() && measured.contains(&named) {
            continue;
        }
        let key = (failure.workload.clone(), failure.lane.clone(), case.clone());
        if have.contains(&(&failure.workload, &failure.lane, &case)) || !seen.insert(key) {
            continue;
        }
        let absence = Absence {
            kind: failure.kind,
            message: failure.message.clone(),
        };
        found.extend(absent(run, &failure.workload, &failure.lane, case, absence));
    }
    for lane in &run.header.lanes {
        for (workload, reason) in &lane.workloads {
            let Some(reason) = reason else { continue };
            let named = (workload.as_str(), lane.name.as_str());
            let failed = found
                .iter()
                .any(|row: &Row| (row.workload.as_str(), row.lane.as_str()) == named);
            if measured.contains(&named) || failed || run.workload(workload).is_none() {
                continue;
            }
            let absence = Absence {
                kind: FailureKind::NotSupported,
                message: reason.clone(),
            };
            found.extend(absent(run, workload, &lane.name, Case::default(), absence));
        }
    }
    found
}

fn absent(run: &Run, workload: &str, lane: &str, case: Case, absence: Absence) -> Option<Row> {
    let quantity = match run.workload(workload) {
        Some(known) => Quantity::all_of(known).into_iter().next()?,
        None => return None,
    };
    Some(Row {
        workload: workload.to_owned(),
        case,
        quantity,
        lane: lane.to_owned(),
        estimate: None,
        standing: None,
        absence: Some(absence),
        processes_count: 0,
        samples_count: 0,
        outliers_count: 0,
        mean: None,
        cpu_ns: None,
        voluntary_switches: None,
        involuntary_switches: None,
        events: BTreeMap::new(),
        headroom_ratio: None,
        replicates: None,
        processes: BTreeMap::new(),
    })
}

/// Puts the rows in the header's order and takes the controls out.
pub(super) fn sort(rows: &mut Vec<Row>, run: &Run) {
    rows.retain(|row| row.estimate.is_some() || row.absence.is_some());
    let place = |names: Vec<&str>, name: &str| {
        names
            .iter()
            .position(|known| *known == name)
            .unwrap_or(usize::MAX)
    };
    let workloads = || {
        run.header
            .workloads
            .iter()
            .map(|workload| workload.id.as_str())
            .collect()
    };
    let lanes = || {
        run.header
            .lanes
            .iter()
            .map(|lane| lane.name.as_str())
            .collect()
    };
    rows.sort_by_cached_key(|row| {
        (
            place(workloads(), &row.workload),
            row.quantity.rank,
            // A lane that runs no case at all comes after the cases.
            row.estimate.is_none() && row.case.0.is_empty(),
            row.case.clone(),
            place(lanes(), &row.lane),
        )
    });
}
