//! Latency over the rate that a service was offered.

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

/// The name of a percentile at so much of the highest rate. Half of it is what
/// the latencies of a sample are of.
fn figure(percent: u32, percentile: &str) -> String {
    match percent {
        50 => format!("latency_ns_{percentile}"),
        _ => format!("at_{percent}_ns_{percentile}"),
    }
}

/// A chart for each percentile and case; nothing for other workloads.
pub(super) fn curves(view: &View<'_>, workload: &Workload) -> Markup {
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
            @for (percentile, title) in PERCENTILES {
                (one(view, workload, case, &rows, percentile, title))
            }
        }
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
    let estimate = |lane: &str, id: &str| -> Option<Estimate> {
        let mut rows = rows.iter();
        let row = rows.find(|row| row.lane == lane && row.quantity.id == id)?;
        row.estimate
    };
    let lanes: BTreeSet<(usize, &str)> = rows
        .iter()
        .map(|row| (view.lane_index(&row.lane), row.lane.as_str()))
        .collect();
    let lines: Vec<Line> = lanes
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
