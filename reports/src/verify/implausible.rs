//! Values that no measured run has: they break a law (for example, a part lasts no longer than the
//! whole), or are far from those of all real runs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::format;
use crate::run::Run;
use crate::schema::{Parameters, Sample};
use crate::stats::quantile::median;

/// The day of the project's first commit.
const FIRST_DAY: &str = "2026-11-21T00:00:00Z";

/// A cycle of a CPU of 5 GHz, the least time of an operation.
const LEAST_NS: f64 = 0.2;

/// Allows for rounded times, and for clocks that are not read at the same time.
const SLACK: f64 = 1.01;

/// With fewer times no rule about all times applies.
const MANY_TIMES: usize = 100;

/// With fewer cells no rule about the typical cell applies.
const MANY_CELLS: usize = 30;

/// Times that differ by less are almost equal. Even wake-ups of a timer differ by 500 times as
/// much.
const ALIKE_RATIO: f64 = 1e-6;

/// Shorter times may be equal, because some clocks have coarse steps.
const SHORT_NS: u64 = 100_000;

/// The times of a typical cell differ by more than this share; 20% is usual.
const TYPICAL_RATIO: f64 = 1e-3;

/// One text for each kind of implausible value, because an edited file would have thousands.
pub(super) fn of(run: &Run, now: Timestamp) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(dates(run, now));
    found.extend(machine_facts(run));
    found.extend(laws(run));
    found.extend(cpu_time(run));
    found.extend(spread(run));
    found.extend(digits(run));
    found
}

fn dates(run: &Run, now: Timestamp) -> Option<String> {
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    let said = &run.header.started;
    let started: Timestamp = said.parse().ok()?;
    if started.duration_since(now) > DAY {
        return Some(format!("it began in the future: {said}"));
    }
    if FIRST_DAY
        .parse()
        .is_ok_and(|first: Timestamp| started < first)
    {
        return Some(format!(
            "it began before the first version of threadbare: {said}"
        ));
    }
    // The header is written before the first group, so only the time since that group is compared.
    let end = run.end.as_ref()?;
    if run.header.design.merged.is_some() {
        return None;
    }
    let finished: Timestamp = end.finished.parse().ok()?;
    let first_ns = run.groups.iter().map(|group| group.at_ns).min()?;
    let measured_s = end.elapsed_ns.saturating_sub(first_ns) as f64 / 1e9;
    let passed_s = finished.duration_since(started).as_secs_f64();
    (passed_s * SLACK + 1.0 < measured_s).then(|| {
        format!(
            "it measured for {measured_s:.0} s, but its start and end are {passed_s:.0} s apart: a date was edited, or the clock was set meanwhile"
        )
    })
}

fn machine_facts(run: &Run) -> Option<String> {
    let host = &run.header.host;
    let of_old_file = host.facts.get("cpuinfo");
    if host.cores.is_empty() && of_old_file.is_none() {
        return Some("it names its machine, but has no raw facts to show it".to_owned());
    }
    let fields = host.cores.first().map(|kind| &kind.cpuinfo);
    let field = |name: &str| {
        let of_kind = fields
            .and_then(|fields| fields.get(name))
            .map(String::as_str);
        of_kind.or_else(|| of_old_file?.get(name)?.as_str())
    };
    let (name, maker) = (field("model name")?, field("vendor_id")?);
    let makers = [("AMD", "AuthenticAMD"), ("Intel", "GenuineIntel")];
    let contradicts_maker = |(word, own): &(&str, &str)| {
        let is_known_maker = makers.iter().any(|(_, known)| *known == maker);
        name.contains(word) && is_known_maker && maker != *own
    };
    makers
        .iter()
        .any(contradicts_maker)
        .then(|| format!("its CPU is called {name}, but its maker is {maker}"))
}

fn laws(run: &Run) -> Option<String> {
    let cpus = run.header.design.cpus.len().max(1) as f64;
    let memory = run.header.host.memory_bytes;
    run.groups.iter().find_map(|group| {
        let mut samples = group.samples.iter();
        let what = samples.find_map(|sample| broken_law(sample, cpus, memory))?;
        Some(format!("{} on {}: {what}", group.workload, group.lane))
    })
}

fn broken_law(sample: &Sample, cpus: f64, memory_bytes: u64) -> Option<String> {
    let each_ns = sample.elapsed_ns as f64 * cpus / sample.operations_count as f64;
    if each_ns < LEAST_NS {
        return Some(format!("{each_ns:.3} ns of a CPU for an operation"));
    }
    if let Some(highest) = sample
        .latency
        .as_ref()
        .and_then(|latency| latency.buckets.last())
        && highest.0 as f64 > sample.elapsed_ns as f64 * SLACK
    {
        return Some("a request took longer than the sample that it is part of".to_owned());
    }
    let used = sample.memory.map_or(0, |memory| memory.sum_bytes());
    if memory_bytes > 0 && used > i64::try_from(memory_bytes).unwrap_or(i64::MAX) {
        return Some("its tasks had more memory than the machine has".to_owned());
    }
    None
}

fn cpu_time(run: &Run) -> Option<String> {
    if run.header.design.merged.is_some() {
        return None;
    }
    let whole_ns = run.end.as_ref()?.elapsed_ns as f64 * SLACK;
    let cpus = run.header.design.cpus.len().max(1) as f64;
    let samples = run.groups.iter().flat_map(|group| &group.samples);
    let cpu_ns: f64 = samples.map(|sample| sample.cpu_ns as f64).sum();
    (cpu_ns > whole_ns * cpus)
        .then(|| "its samples had more CPU time than its CPUs have".to_owned())
}

fn spread(run: &Run) -> Option<String> {
    let mut cells: BTreeMap<(&str, &str, &Parameters), Vec<u64>> = BTreeMap::new();
    for group in &run.groups {
        let cell = (&*group.workload, &*group.lane, &group.parameters);
        let own = group.samples.iter().map(|sample| sample.elapsed_ns);
        cells.entry(cell).or_default().extend(own);
    }
    let mut ratios = Vec::new();
    for ((workload, lane, _), times) in &cells {
        let (Some(least), Some(most)) = (times.iter().min(), times.iter().max()) else {
            continue;
        };
        if times.len() < 3 || *least < SHORT_NS {
            continue;
        }
        let ratio = (most - least) as f64 / (*least).max(1) as f64;
        if ratio < ALIKE_RATIO {
            return Some(format!(
                "{workload} on {lane}: {} measured times are almost equal, about {least} ns",
                times.len()
            ));
        }
        ratios.push(ratio);
    }
    let typical = median(&ratios).filter(|_| ratios.len() >= MANY_CELLS)?;
    (typical < TYPICAL_RATIO).then(|| {
        format!(
            "repeated times vary too little: in half of its cells they differ by at most {}",
            format::percent(typical)
        )
    })
}

fn digits(run: &Run) -> Option<String> {
    let samples = run.groups.iter().flat_map(|group| &group.samples);
    let times: Vec<u64> = samples.map(|sample| sample.elapsed_ns).collect();
    if times.len() < MANY_TIMES {
        return None;
    }
    let share = |count: usize| count as f64 / times.len() as f64;
    let rounded = share(times.iter().filter(|time| *time % 1_000 == 0).count());
    if rounded > 0.5 {
        return Some(format!(
            "{} of its times are whole microseconds, and clocks count in nanoseconds",
            format::percent(rounded)
        ));
    }
    let distinct: BTreeSet<u64> = times.iter().copied().collect();
    let copied = share(times.len() - distinct.len());
    (copied > 0.25).then(|| {
        format!(
            "{} of its times occur more than once, to the nanosecond",
            format::percent(copied)
        )
    })
}
