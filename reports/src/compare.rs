//! Several runs side by side, of one machine or of many.
//!
//! Times of different machines are never compared, and there are no verdicts across machines: the
//! table has each lane's ratio to the reference lane *within* each machine. The differences between
//! the machines come first, because they explain the ratios.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::analysis::{Analysis, Case, Quantity};
use crate::format;
use crate::html;
use crate::machine;
use crate::run::Run;
use crate::schema::taint_title;
use crate::stats::Verdict;
use crate::stats::geometric::means_over_intersection;

/// The runs side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The runs, in the order in which they were given.
    pub runs: Vec<Compared>,
    /// The lane with which all others are compared.
    pub reference_lane: String,
    /// The facts in which the runs differ, machine facts first.
    pub differences: Vec<Difference>,
    /// Ratios of the first quantity of each workload (rank 0), for each case and lane that any run
    /// compares with the reference lane.
    pub rows: Vec<ComparisonRow>,
    /// Geometric means over the cells that all runs have.
    pub means: Vec<Mean>,
}

/// One of the runs.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Its label.
    pub label: String,
    /// The run's id.
    pub run_id: String,
    /// The machine key.
    pub machine_key: String,
    /// Reasons why the run is less comparable.
    pub warnings: Vec<String>,
}

/// A fact in which the runs differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The fact's name.
    pub name: String,
    /// Its value in each run; `None` if it is not in the file.
    pub values: Vec<Option<String>>,
}

/// One lane's ratios.
#[derive(Clone, Debug, Serialize)]
pub struct ComparisonRow {
    /// The workload's id.
    pub workload: String,
    /// The workload's title.
    pub title: String,
    /// The parameters.
    pub case: Case,
    /// The parameters in words.
    pub case_text: String,
    /// The quantity of the figure.
    pub quantity: Quantity,
    /// The lane.
    pub lane: String,
    /// The ratio in each run; `None` if it is missing.
    pub cells: Vec<Option<ComparisonCell>>,
}

/// One lane's ratio in one run.
#[derive(Clone, Debug, Serialize)]
pub struct ComparisonCell {
    /// The lane's figure ÷ the reference's.
    pub ratio: f64,
    /// `ratio`, inverted if a higher figure is better, so below 1 is better.
    pub turned_ratio: f64,
    /// The verdict on that machine.
    pub verdict: Verdict,
    /// The figure itself, for a reader.
    pub value_text: String,
}

/// A lane's geometric means.
#[derive(Clone, Debug, Serialize)]
pub struct Mean {
    /// The lane.
    pub lane: String,
    /// The mean ratio in each run; empty if the runs have no cell in common.
    pub ratios: Vec<f64>,
    /// The number of cells in the means.
    pub cases_count: usize,
    /// The number of cells that some run lacks.
    pub missing_count: usize,
}

impl Comparison {
    /// How many different machines there are.
    #[must_use]
    pub fn machines_count(&self) -> usize {
        self.runs
            .iter()
            .map(|run| run.machine_key.as_str())
            .collect::<BTreeSet<_>>()
            .len()
    }
}

/// Puts runs side by side, each with its label.
#[must_use]
pub fn compare(runs: &[(String, Run)]) -> Comparison {
    let analyses: Vec<Analysis> = runs
        .iter()
        .map(|(_, run)| {
            // The first run's reference lane is used for all, because otherwise their ratios would
            // not be comparable. A run without figures of that lane gets another one, and a
            // warning.
            let mut run = run.clone();
            if let Some((_, first)) = runs.first() {
                run.header.design.reference_lane = first.header.design.reference_lane.clone();
            }
            Analysis::of(&run)
        })
        .collect();
    let reference_lane = analyses
        .first()
        .map_or_else(String::new, |analysis| analysis.reference_lane.clone());
    let rows = rows(runs, &analyses);
    Comparison {
        runs: runs
            .iter()
            .zip(&analyses)
            .map(|(run, analysis)| compared(run, analysis, &reference_lane))
            .collect(),
        differences: differences(runs),
        means: means(&rows, runs.len()),
        reference_lane,
        rows,
    }
}

fn compared((label, run): &(String, Run), analysis: &Analysis, reference: &str) -> Compared {
    let mut warnings = run.warnings.clone();
    if analysis.reference_lane != reference {
        warnings.push(format!(
            "its ratios are to {}, because it has no figures of {reference}",
            analysis.reference_lane
        ));
    }
    if run.header.design.depth == crate::schema::Depth::Quick {
        warnings.push("a quick run: rough figures".to_owned());
    }
    if !run.taints.is_empty() {
        let kinds: BTreeSet<&str> = run.taints.iter().map(|taint| taint.kind.as_str()).collect();
        let titles: Vec<String> = kinds.into_iter().map(taint_title).collect();
        warnings.push(format!("disturbances: {}", titles.join("; ")));
    }
    Compared {
        label: label.clone(),
        run_id: run.header.run_id.clone(),
        machine_key: run.header.host.machine.key(),
        warnings,
    }
}

type Key<'a> = (&'a str, &'a Quantity, &'a Case, &'a str);

fn rows(runs: &[(String, Run)], analyses: &[Analysis]) -> Vec<ComparisonRow> {
    let mut order: Vec<Key<'_>> = Vec::new();
    let mut seen: BTreeSet<Key<'_>> = BTreeSet::new();
    let mut cells: BTreeMap<(Key<'_>, usize), ComparisonCell> = BTreeMap::new();
    for (index, analysis) in analyses.iter().enumerate() {
        for row in &analysis.rows {
            let Some(standing) = &row.standing else {
                continue;
            };
            let key = (
                row.workload.as_str(),
                &row.quantity,
                &row.case,
                row.lane.as_str(),
            );
            if row.quantity.rank > 0 {
                continue;
            }
            if seen.insert(key) {
                order.push(key);
            }
            cells.insert(
                (key, index),
                ComparisonCell {
                    ratio: standing.ratio.value,
                    turned_ratio: row.quantity.as_cost(standing.ratio).value,
                    verdict: standing.verdict,
                    value_text: row.value_text(),
                },
            );
        }
    }
    let workload = |id: &str| runs.iter().find_map(|(_, run)| run.workload(id));
    let title = |id: &str| {
        let found = workload(id);
        found.map_or_else(|| id.to_owned(), |workload| workload.title.clone())
    };
    order
        .into_iter()
        .map(|key| ComparisonRow {
            workload: key.0.to_owned(),
            title: title(key.0),
            case: key.2.clone(),
            case_text: key.2.text(workload(key.0)),
            quantity: key.1.clone(),
            lane: key.3.to_owned(),
            cells: (0..analyses.len())
                .map(|index| cells.remove(&(key, index)))
                .collect(),
        })
        .collect()
}

fn means(rows: &[ComparisonRow], runs_count: usize) -> Vec<Mean> {
    let mut lanes: Vec<&str> = Vec::new();
    for row in rows {
        if !lanes.contains(&row.lane.as_str()) {
            lanes.push(&row.lane);
        }
    }
    lanes
        .into_iter()
        .map(|lane| {
            let own: Vec<&ComparisonRow> = rows.iter().filter(|row| row.lane == lane).collect();
            let sides: Vec<BTreeMap<usize, f64>> = (0..runs_count)
                .map(|run| {
                    let cells = own.iter().enumerate();
                    cells
                        .filter_map(|(place, row)| {
                            Some((place, row.cells[run].as_ref()?.turned_ratio))
                        })
                        .collect()
                })
                .collect();
            let (ratios, cases_count) = means_over_intersection(&sides).unwrap_or_default();
            Mean {
                lane: lane.to_owned(),
                ratios,
                cases_count,
                missing_count: own.len() - cases_count,
            }
        })
        .collect()
}

fn differences(runs: &[(String, Run)]) -> Vec<Difference> {
    let facts: Vec<Vec<(String, String)>> = runs.iter().map(|(_, run)| facts(run)).collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in facts.iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
        .into_iter()
        .map(|name| Difference {
            name: name.to_owned(),
            values: facts
                .iter()
                .map(|own| {
                    own.iter()
                        .find(|fact| fact.0 == name)
                        .map(|fact| fact.1.clone())
                })
                .collect(),
        })
        .filter(|difference| difference.values.windows(2).any(|pair| pair[0] != pair[1]))
        .collect()
}

fn facts(run: &Run) -> Vec<(String, String)> {
    let (host, design) = (&run.header.host, &run.header.design);
    let machine = &host.machine;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut all = vec![
        fact("machine key", machine.key()),
        fact("CPU", machine::cpu(machine)),
        fact("CPU stepping", machine.cpu_stepping.clone()),
        fact("architecture", machine.architecture.clone()),
        fact("sockets", machine.sockets_count.to_string()),
        fact("cores", machine.cores_count.to_string()),
        fact("hardware threads", machine.threads_count.to_string()),
        fact("hypervisor", machine.hypervisor.clone()),
        fact("instance type", machine.instance_type.clone()),
        fact("memory", format::binary_bytes(host.memory_bytes)),
        fact("system", host.operating_system.clone()),
        fact("CPUs of every lane", design.cpus.len().to_string()),
        fact(
            "processes for each cell",
            design.processes_count.to_string(),
        ),
        fact("threadbare", run.header.threadbare_version.clone()),
    ];
    for (place, kind) in machine.kinds().iter().enumerate() {
        for cache in &kind.caches {
            let of = if place == 0 { "" } else { kind.name.as_str() };
            let name = format!("L{} {} cache {of}", cache.level, cache.kind);
            all.push((
                name.trim_end().to_owned(),
                format::binary_bytes(cache.size_bytes),
            ));
        }
    }
    for (name, value) in run.header.environment.iter().chain(&host.facts) {
        let name = name.replace('_', " ");
        match value {
            Value::Object(parts) => all.extend(
                (parts.iter()).map(|(part, value)| (format!("{name}: {part}"), html::plain(value))),
            ),
            _ => all.push((name, html::plain(value))),
        }
    }
    all
}
