//! What a service bears: a table of its main figures, and latency over the rate
//! that it was offered.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::figures::curves_of_lanes;
use super::view::{View, capital};
use crate::analysis::{Case, Row, Unit};
use crate::plot::{Curves, Line, Scale};
use crate::schema::Workload;
use crate::stats::Estimate;

/// The figure that the others are percentages of.
const HIGHEST: &str = "rate_per_s";
/// The percentages of the highest rate at which there are latencies.
const LEVELS: [u32; 5] = [25, 50, 75, 100, 150];
const PERCENTILES: [(&str, &str); 3] = [
    ("p50", "median latency"),
    ("p99", "99th percentile of latency"),
    ("p999", "99.9th percentile of latency"),
];

/// The columns of the table: a heading, and the figures that it has.
const COLUMNS: [(&str, &[&str]); 9] = [
    ("Highest rate within the limit", &[HIGHEST]),
    ("p99 at half of it", &["latency_ns_p99"]),
    ("p99 at all of it", &["at_100_ns_p99"]),
    ("CPU time for each request", &["request_cpu_ns"]),
    ("Threads", &["threads_count"]),
    ("Memory", &["memory_bytes"]),
    (
        "More memory for each idle connection",
        &["idle_connection_bytes"],
    ),
    (
        "Refused + failed at 1.5 times the rate",
        &["beyond_shed_ratio", "beyond_failed_ratio"],
    ),
    ("Time to recover from a surge", &["recovery_ns"]),
];

/// The name of a percentile at so much of the highest rate. Half of it is what
/// the latencies of a sample are of.
fn figure(percent: u32, percentile: &str) -> String {
    match percent {
        50 => format!("latency_ns_{percentile}"),
        _ => format!("at_{percent}_ns_{percentile}"),
    }
}

/// A table and a chart for each percentile, for each case; nothing for other
/// workloads.
pub(super) fn shown(view: &View<'_>, workload: &Workload) -> Markup {
    let mut cases: BTreeMap<&Case, Vec<&Row>> = BTreeMap::new();
    let is_searched = |row: &&Row| row.quantity.id.starts_with("at_");
    if !view
        .analysis
        .rows_of(&workload.id)
        .any(|row| is_searched(&row))
    {
        return html! {};
    }
    for row in view.analysis.rows_of(&workload.id) {
        cases.entry(&row.case).or_default().push(row);
    }
    html! {
        @for (case, rows) in cases {
            (table(view, workload, case, &rows))
            @for (percentile, title) in PERCENTILES {
                (one(view, workload, case, &rows, percentile, title))
            }
        }
    }
}

/// The figure of a lane with this id.
fn estimate(rows: &[&Row], lane: &str, id: &str) -> Option<Estimate> {
    let mut rows = rows.iter();
    rows.find(|row| row.lane == lane && row.quantity.id == id)?
        .estimate
}

/// The lanes that have figures, by their place.
fn lanes<'a>(view: &View<'_>, rows: &[&'a Row]) -> BTreeSet<(usize, &'a str)> {
    rows.iter()
        .filter(|row| row.estimate.is_some())
        .map(|row| (view.lane_index(&row.lane), row.lane.as_str()))
        .collect()
}

/// What a lane bears and what it needs for that, a line each.
fn table(view: &View<'_>, workload: &Workload, case: &Case, rows: &[&Row]) -> Markup {
    let text = |lane: &str, ids: &[&str]| {
        let texts = ids.iter().map(|id| {
            let estimate = estimate(rows, lane, id)?;
            Some(Unit::of_name(id).text(estimate.value))
        });
        texts
            .collect::<Option<Vec<_>>>()
            .map(|texts| texts.join(" + "))
    };
    let lanes = lanes(view, rows);
    if lanes.is_empty() {
        return html! {};
    }
    html! {
        div class="scroll" tabindex="0" role="group" aria-label="What each lane bears" {
            table data-name=(format!("offered-{}-{case}", workload.id)) {
                caption { "What each lane bears, and what it needs for that" }
                thead { tr {
                    th class="words" scope="col" { "Lane" }
                    @for (heading, _) in COLUMNS { th scope="col" { (heading) } }
                } }
                tbody {
                    @for (_, lane) in lanes {
                        tr data-lane=(lane) {
                            th scope="row" { (super::table::lane(view, lane)) }
                            @for (_, ids) in COLUMNS {
                                td { (text(lane, ids).unwrap_or_else(|| "n/a".to_owned())) }
                            }
                        }
                    }
                }
            }
        }
        div class="notes" { p {
            "A lane carries your load if its highest rate is above it; the charts show how latency grows on the way there. Memory and threads are those at half of the rate; "
            "N idle connections take N times that column more. For a load unlike this one: "
            code { "run --preset service --set connections_count=5000 --set rounds_count=7500 --set delay_ns=30000000" }
            " has 5,000 connections, 2 ms of CPU time and 30 ms of waiting for each request."
        } }
    }
}

fn one(
    view: &View<'_>,
    workload: &Workload,
    case: &Case,
    rows: &[&Row],
    percentile: &str,
    what: &str,
) -> Markup {
    let estimate = |lane, id: &str| estimate(rows, lane, id);
    let lines: Vec<Line> = lanes(view, rows)
        .into_iter()
        .filter_map(|(index, lane)| {
            let highest = estimate(lane, HIGHEST)?.value;
            let points = LEVELS.iter().filter_map(|&percent| {
                let latency = estimate(lane, &figure(percent, percentile))?;
                let rate = highest * f64::from(percent) / 100.0;
                (latency.value > 0.0).then_some((rate, latency.value, latency.interval))
            });
            Some(Line {
                label: lane.to_owned(),
                lane: index,
                points: points.collect(),
                fitted: Vec::new(),
            })
        })
        .filter(|line| line.points.len() > 1)
        .collect();
    if lines.is_empty() {
        return html! {};
    }
    let extra = view.case_text(&workload.id, case);
    let comma = if extra.is_empty() { "" } else { " · " };
    let title = format!(
        "{} over the requests a second that were offered, at 25, 50, 75, 100 and 150% of each lane’s highest rate{comma}{extra}",
        capital(what)
    );
    let name = format!("offered-{}-{percentile}-{case}", workload.id);
    let chart = Curves {
        lines: &lines,
        x_title: "requests offered a second",
        y_title: what,
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        x_unit: Unit::PerSecond,
        y_unit: Unit::Nanoseconds,
        x_ticks: None,
        ideal: None,
        breaks: &[],
        marks: true,
    };
    curves_of_lanes(view, name, title, &chart)
}
