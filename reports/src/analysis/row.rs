//! A lane's figure on a case, or the reason why there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::cells::{Cell, between};
use super::quantity::{GAP, HEADROOM, LEAST_HEADROOM, Quantity, RATE, Source};
use crate::run::Run;
use crate::schema::{FailureKind, Parameters, Workload};
use crate::stats::bootstrap::{Estimate, Interval, Ratio, Replicates};
use crate::stats::difference::Difference;
use crate::stats::verdict::{Bound, Verdict};
use crate::{failure, format};

/// The interval of a median of fewer processes is their range. The range contains the true value in
/// fewer than 95% of runs: with five processes in 93.75%.
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

    /// Only the parameters that `keeps` accepts.
    #[must_use]
    pub fn only(&self, keeps: impl Fn(&str) -> bool) -> Case {
        let mut kept = self.clone();
        kept.0.retain(|name, _| keeps(name));
        kept
    }

    /// The parameters in words.
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
    /// The parameters, such as `1,000 tasks, payload 64 B`; empty if there are none.
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
    /// The quantity of the figure.
    pub quantity: Quantity,
    /// The lane's name.
    pub lane: String,
    /// The figure, if there is one.
    pub estimate: Option<Estimate>,
    /// `None` for the reference lane, and if the reference has no figure.
    pub standing: Option<Standing>,
    /// Why there is no figure.
    pub absence: Option<Absence>,
    /// Processes behind the figure.
    pub processes_count: usize,
    /// Samples behind the figure.
    pub samples_count: usize,
    /// Outliers among the samples; the figure includes them.
    pub outliers_count: usize,
    /// The mean, for a cost that few operations pay, such as garbage collection.
    pub mean: Option<f64>,
    /// CPU time of one operation.
    pub cpu_ns: Option<f64>,
    /// Voluntary switches of one operation.
    pub voluntary_switches: Option<f64>,
    /// Involuntary switches of one operation.
    pub involuntary_switches: Option<f64>,
    /// Events of one operation by name, counted in the trial of the cell.
    pub events: BTreeMap<String, f64>,
    /// The load generator's limit ÷ its load, if there is a load.
    pub headroom_ratio: Option<f64>,
    /// For a rate that a search found: the lowest higher rate that failed or was not tried, ÷ this
    /// rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_ratio: Option<f64>,
    #[serde(skip)]
    pub(crate) replicates: Option<Replicates>,
    /// The figure of each process; empty for a slope.
    #[serde(skip)]
    pub(crate) processes: BTreeMap<u64, f64>,
}

/// A figure against the reference lane's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// The lane with which it is compared.
    pub reference_lane: String,
    /// The figure ÷ the reference's.
    pub ratio: Ratio,
    /// The figure minus the reference's: judged instead of the ratio if either may be zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// The verdict.
    pub verdict: Verdict,
    /// The bound that the effect had to exceed.
    pub bound: Bound,
}

/// Why there is no figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Absence {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The message for a reader.
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
            gap_ratio: None,
            replicates: (!cell.control).then(|| cell.replicates.clone()),
            processes: cell.processes.clone(),
        }
        .without_control_figure(cell.control)
    }

    /// Removes the figure of a control cell, so that [`sort`] removes the row. Until then, rows and
    /// cells have the same indices.
    fn without_control_figure(mut self, control: bool) -> Row {
        if control {
            self.estimate = None;
        }
        self
    }

    /// As [`Cell::ratio_to`](super::cells::Cell::ratio_to).
    pub(crate) fn ratio_to(&self, other: &Row) -> Option<Ratio> {
        // Figures of too few processes, and slopes such as memory, are compared by their resamples.
        let by_resamples = || Some(self.replicates.as_ref()?.ratio(other.replicates.as_ref()?));
        let ratio = between(&self.processes, &other.processes).or_else(by_resamples)?;
        (ratio.value.is_finite() && ratio.value > 0.0).then_some(ratio)
    }

    /// The largest figure of its processes ÷ the smallest. `None` with fewer than two processes, or
    /// if a figure is not above zero.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        let values = || self.processes.values().copied();
        let least = values().fold(f64::INFINITY, f64::min);
        let most = values().fold(0.0, f64::max);
        (values().len() > 1 && least > 0.0).then(|| most / least)
    }

    /// False if the figure is memory that may be zero.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        let is_above_zero = |estimate: &Estimate| {
            estimate.value > 0.0 && estimate.interval.is_none_or(|interval| interval.low > 0.0)
        };
        self.quantity.source != Source::Memory || self.estimate.as_ref().is_none_or(is_above_zero)
    }

    /// True if the load generator may be the limit, so the lane itself may be better.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        let is_near = |headroom: f64| headroom < LEAST_HEADROOM;
        self.headroom_ratio.is_some_and(is_near) && !self.quantity.bound_sign().is_empty()
    }

    /// The figure with its unit, and with a sign if it is only a bound; `n/a` if there is none.
    #[must_use]
    pub fn value_text(&self) -> String {
        match &self.estimate {
            Some(estimate) if !self.is_resolved() => {
                let most = estimate.interval.map_or(estimate.value, |one| one.high);
                format!("at most {}", self.quantity.unit.text(most.max(0.0)))
            }
            Some(estimate) if self.gap_ratio.is_some_and(|gap| gap > WIDE_GAP) => {
                let next = estimate.value * self.gap_ratio.unwrap_or(1.0);
                let [low, next] = [estimate.value, next].map(|rate| self.quantity.unit.text(rate));
                format::range(&low, &next)
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

    /// The range of a rate that a search found: its interval, with the high end times
    /// [`reach`](Row::reach). `None` for other figures.
    fn range(&self) -> Option<Interval> {
        let Estimate { value, interval } = self.estimate.filter(|_| self.quantity.id == RATE)?;
        let (low, high) = interval.map_or((value, value), |one| (one.low, one.high));
        let high = high * self.reach();
        Some(Interval { low, high })
    }

    /// The factor by which the true rate may be higher than the found one; 1 for other figures.
    pub(crate) fn reach(&self) -> f64 {
        match self.quantity.id == RATE {
            true if self.is_limited() => f64::INFINITY,
            true => self.gap_ratio.unwrap_or(1.0),
            false => 1.0,
        }
    }

    /// True if both figures are rates that searches found, and either may be the higher one.
    #[must_use]
    pub(crate) fn overlaps(&self, other: &Row) -> bool {
        let ranges = self.range().zip(other.range());
        ranges.is_some_and(|(own, others)| own.low <= others.high && others.low <= own.high)
    }

    /// The verdict on this figure against another, corrected for two rates found by searches. It is
    /// [`CannotTell`](Verdict::CannotTell) if one rate is called higher although their ranges
    /// overlap, or if they are called the same although one may be much higher than found.
    pub(super) fn corrected(&self, other: &Row, verdict: Verdict) -> Verdict {
        let is_vague = |row: &Row| {
            row.quantity.id == RATE
                && (row.is_limited() || row.gap_ratio.is_some_and(|gap| gap > WIDE_GAP))
        };
        match verdict {
            Verdict::Faster | Verdict::Slower if self.overlaps(other) => Verdict::CannotTell,
            Verdict::Same if is_vague(self) || is_vague(other) => Verdict::CannotTell,
            verdict => verdict,
        }
    }

    /// The interval with its unit, such as `305 – 318 ns`; empty if there is none. With too few
    /// processes for a 95% interval, a remark follows.
    #[must_use]
    pub fn interval_text(&self) -> String {
        let range = self.bare_interval_text();
        match self.processes.len() {
            count @ 1..FEWEST_FOR_MEDIAN if !range.is_empty() => {
                format!("{range} (all of {count})")
            }
            _ => range,
        }
    }

    #[must_use]
    pub(crate) fn bare_interval_text(&self) -> String {
        let interval = self.estimate.and_then(|estimate| estimate.interval);
        interval.map_or_else(String::new, |interval| {
            let [low, high] = [interval.low, interval.high].map(|end| self.quantity.unit.text(end));
            format::range(&low, &high)
        })
    }

    /// The figure with its interval, such as `310 ns (305 – 318 ns)`.
    #[must_use]
    pub(crate) fn whole_text(&self) -> String {
        match self.bare_interval_text() {
            none if none.is_empty() => self.value_text(),
            interval => format!("{} ({interval})", self.value_text()),
        }
    }

    /// The ratio to the reference lane, such as `0.012×`; if either figure may be zero, the
    /// difference, such as `+456 B`; empty if there is neither.
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

    /// The verdict in words; `reference` for the reference lane; the reason if there is no figure
    /// or no comparison.
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

pub(super) fn add_gaps(rows: &mut [Row]) {
    let gaps = figures(rows, GAP);
    for row in rows.iter_mut().filter(|row| row.quantity.id == RATE) {
        row.gap_ratio = gaps.get(&key_of(row, &row.lane)).copied();
    }
}

pub(super) fn correct_rate_verdicts(rows: &mut [Row]) {
    let corrected = |row: &Row| {
        let standing = row.standing.as_ref().filter(|_| row.quantity.id == RATE)?;
        let key = key_of(row, &standing.reference_lane);
        let is_it = |other: &&Row| other.quantity.id == RATE && key_of(other, &other.lane) == key;
        Some(row.corrected(rows.iter().find(is_it)?, standing.verdict))
    };
    let all: Vec<Option<Verdict>> = rows.iter().map(corrected).collect();
    for (row, corrected) in rows.iter_mut().zip(all) {
        if let (Some(standing), Some(corrected)) = (&mut row.standing, corrected) {
            standing.verdict = corrected;
        }
    }
}

/// If the next higher rate is above a rate by more than this factor, the rate is shown as a range.
/// The factor is the margin of *no difference* at the default threshold: [`Bound::margin`].
const WIDE_GAP: f64 = 1.1;

type Key = (String, String, Case);

fn key_of(row: &Row, lane: &str) -> Key {
    (row.workload.clone(), lane.to_owned(), row.case.clone())
}

fn figures(rows: &[Row], id: &str) -> BTreeMap<Key, f64> {
    rows.iter()
        .filter(|row| row.quantity.id == id)
        .filter_map(|row| Some((key_of(row, &row.lane), row.estimate?.value)))
        .collect()
}

/// Removes the comparisons of memory with idle connections if the lanes' numbers of connections
/// differ by more than 5%: fewer connections need less memory.
pub(super) fn remove_unequal_comparisons(rows: &mut [Row]) {
    const MEMORY: &str = "idle_memory_bytes";
    let counts = figures(rows, "load_idle_count");
    for row in rows.iter_mut().filter(|row| row.quantity.id == MEMORY) {
        let Some(standing) = &row.standing else {
            continue;
        };
        let count = |lane: &str| counts.get(&key_of(row, lane)).copied();
        let ratio = count(&row.lane)
            .zip(count(&standing.reference_lane))
            .map(|(own, reference)| own / reference);
        if ratio.is_some_and(|ratio| (ratio - 1.0).abs() > 0.05) {
            row.standing = None;
        }
    }
}

pub(super) fn add_headroom(rows: &mut [Row]) {
    let known = figures(rows, HEADROOM);
    for row in rows {
        row.headroom_ratio = known.get(&key_of(row, &row.lane)).copied();
    }
}

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
        // A failure without parameters is that of a process, not of a case.
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
        gap_ratio: None,
        replicates: None,
        processes: BTreeMap::new(),
    })
}

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
            row.estimate.is_none() && row.case.0.is_empty(),
            row.case.clone(),
            place(lanes(), &row.lane),
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Analysis;
    use crate::schema::{Better, Group, Header, Lane, Metric, Sample};

    const NAMES: [&str; 5] = [RATE, "idle_memory_bytes", "load_idle_count", GAP, HEADROOM];

    /// A lane's figures. Process n has `1 + n · step` times this rate and memory.
    #[derive(Clone, Copy)]
    struct Synthetic {
        lane: &'static str,
        rate: f64,
        gap: f64,
        step: f64,
        count: f64,
        headroom: f64,
    }

    const THREAD: Synthetic = Synthetic {
        lane: "thread",
        rate: 12_800.0,
        gap: 1.02,
        step: 0.001,
        count: 1.0,
        headroom: 9.0,
    };

    const GO: Synthetic = Synthetic {
        lane: "go",
        ..THREAD
    };

    fn analysis(lanes: &[Synthetic]) -> Analysis {
        let metric = |name: &str| Metric {
            name: name.to_owned(),
            title: String::new(),
            better: match name {
                RATE => Better::Higher,
                _ => Better::Lower,
            },
        };
        let group = |made: &Synthetic, process_index: u64| {
            let spread = 1.0 + process_index as f64 * made.step;
            let memory = made.count * 1e4 * spread;
            let values = [
                made.rate * spread,
                memory,
                made.count,
                made.gap,
                made.headroom,
            ];
            let metrics = NAMES.map(str::to_owned).into_iter().zip(values).collect();
            let sample = Sample {
                elapsed_ns: 1,
                operations_count: 1,
                metrics,
                ..Sample::default()
            };
            Group {
                workload: "service.http".to_owned(),
                lane: made.lane.to_owned(),
                process_index,
                block_index: process_index,
                samples: vec![sample],
                ..Group::default()
            }
        };
        let run = Run {
            header: Header {
                lanes: lanes
                    .iter()
                    .map(|lane| Lane {
                        name: lane.lane.to_owned(),
                        ..Lane::default()
                    })
                    .collect(),
                workloads: vec![Workload {
                    id: "service.http".to_owned(),
                    metrics: NAMES.map(metric).to_vec(),
                    ..Workload::default()
                }],
                ..Header::default()
            },
            groups: (0..5)
                .flat_map(|process| lanes.iter().map(move |lane| group(lane, process)))
                .collect(),
            ..Run::default()
        };
        Analysis::of(&run)
    }

    fn row<'a>(analysis: &'a Analysis, lane: &str, id: &str) -> &'a Row {
        let mut rows = analysis.rows.iter();
        let row = rows.find(|row| row.lane == lane && row.quantity.id == id);
        row.expect("a row")
    }

    #[test]
    fn memories_with_other_numbers_of_idle_connections_are_not_compared() {
        let with = |lane, count| Synthetic {
            lane,
            count,
            ..THREAD
        };
        let analysis = analysis(&[
            with("thread", 10_000.0),
            with("go", 9_700.0),
            with("python", 5_000.0),
        ]);
        let is_compared = |lane, id| row(&analysis, lane, id).standing.is_some();
        assert!(is_compared("go", "idle_memory_bytes"));
        assert!(!is_compared("python", "idle_memory_bytes"));
        assert!(is_compared("python", RATE));
    }

    /// The second lane's verdict and rate, and whether the rates overlap.
    fn outcome_of(first: Synthetic, second: Synthetic) -> (Verdict, String, bool) {
        let analysis = analysis(&[first, second]);
        let [theirs, own] = [first, second].map(|made| row(&analysis, made.lane, RATE));
        let standing = own.standing.as_ref().expect("a comparison");
        (standing.verdict, own.value_text(), own.overlaps(theirs))
    }

    #[test]
    fn rate_of_an_early_ended_search_is_a_range_and_gives_few_verdicts() {
        let verdict = |rate, gap, thread_gap| {
            let thread = Synthetic {
                gap: thread_gap,
                ..THREAD
            };
            outcome_of(thread, Synthetic { rate, gap, ..GO })
        };
        let same = verdict(12_800.0, 1.02, 1.02);
        assert_eq!((same.0, same.2), (Verdict::Same, true));
        let (corrected, text, _) = verdict(12_800.0, 2.0, 1.02);
        assert_eq!(corrected, Verdict::CannotTell);
        assert!(text.contains("12.8") && text.contains("25.7"), "{text}");
        // Three times the rate is a verdict, even if the other rate may be twice as high as found.
        assert_eq!(verdict(38_400.0, 1.02, 2.0).0, Verdict::Faster);
        assert_eq!(verdict(19_200.0, 1.02, 2.0).0, Verdict::CannotTell);
        assert_eq!(verdict(4_000.0, 2.0, 1.02).0, Verdict::Slower);
        assert_eq!(verdict(8_000.0, 2.0, 1.02).0, Verdict::CannotTell);
    }

    #[test]
    fn rates_with_overlapping_intervals_are_not_ranked() {
        // Each process of one lane can do 10% more than the other lane's in the same round.
        let more = |step| {
            let rate = 1.1 * THREAD.rate;
            outcome_of(Synthetic { step, ..THREAD }, Synthetic { step, rate, ..GO })
        };
        let apart = more(0.001);
        assert_eq!((apart.0, apart.2), (Verdict::Faster, false));
        let overlapping = more(0.1);
        assert_eq!((overlapping.0, overlapping.2), (Verdict::CannotTell, true));
    }

    #[test]
    fn rate_limited_by_the_load_generator_is_a_bound_and_never_worse() {
        let limited = |rate| Synthetic {
            rate,
            headroom: 1.1,
            ..GO
        };
        let (corrected, text, _) = outcome_of(THREAD, limited(6_400.0));
        assert_eq!(corrected, Verdict::CannotTell);
        assert!(text.starts_with("at least\u{a0}6.4"), "{text}");
        assert_eq!(outcome_of(THREAD, limited(12_800.0)).0, Verdict::CannotTell);
        assert_eq!(outcome_of(THREAD, limited(25_600.0)).0, Verdict::Faster);
    }
}
