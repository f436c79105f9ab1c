//! Charts of an analysis.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};

use super::view::{View, capital, effect};
use crate::analysis::{Case, Curve, CurvePoint, Growth, LedgerRow, Row, Unit};
use crate::format;
use crate::plot::{
    Band, Bar, Caption, Curves, Dot, Ideal, Line, Mark, Scale, Scatter, curves, dots,
    narrow_curves, narrow_dots, scatter, stack,
};
use crate::schema::{Group, Workload};
use crate::stats::histogram::{merge, percentile, total};
use crate::stats::ledger::Part;
use crate::stats::quantile::median;

/// The most marks on a run-order chart; if there are more, only every n-th is drawn.
const MOST_MARKS: usize = 400;

const MOST_POINTS: usize = 60;

fn figure(title: &str, chart: String) -> Markup {
    html! {
        figure {
            figcaption { (title) }
            div class="scroll" tabindex="0" role="group" aria-label=(title) { (PreEscaped(chart)) }
        }
    }
}

/// A wide chart, and a narrow one for a phone.
fn figure_of_two(
    view: &View<'_>,
    title: &str,
    wide: String,
    narrow: impl FnOnce() -> String,
) -> Markup {
    if !view.drawn.phones {
        return figure(title, wide);
    }
    html! {
        figure {
            figcaption { (title) }
            div class="scroll wide" tabindex="0" role="group" aria-label=(title) { (PreEscaped(wide)) }
            div class="narrow" { (PreEscaped(narrow())) }
        }
    }
}

fn for_phones(caption: &Caption) -> Caption {
    Caption {
        id: format!("{}-narrow", caption.id),
        ..caption.clone()
    }
}

pub(super) fn curves_figure(
    view: &View<'_>,
    title: &str,
    caption: &Caption,
    chart: &Curves<'_>,
) -> Markup {
    let narrow = || narrow_curves(&for_phones(caption), chart);
    figure_of_two(view, title, curves(caption, chart), narrow)
}

pub(super) fn curves_of_lanes(
    view: &View<'_>,
    name: String,
    title: String,
    chart: &Curves<'_>,
) -> Markup {
    let what = format!(
        "One curve for each of {} lanes, both axes logarithmic; the figures are in the table below.",
        chart.lines.len()
    );
    let caption = View::caption(name, title, what);
    curves_figure(view, &caption.title, &caption, chart)
}

pub(super) fn dots_of_case(view: &View<'_>, case: &Case, rows: &[&Row]) -> Markup {
    let Some(first) = rows.first() else {
        return html! {};
    };
    let mut sorted: Vec<&&Row> = rows.iter().filter(|row| row.estimate.is_some()).collect();
    let value = |row: &Row| row.estimate.map_or(f64::MAX, |estimate| estimate.value);
    sorted.sort_by(|a, b| value(a).total_cmp(&value(b)));
    if first.quantity.higher_is_better {
        sorted.reverse();
    }
    let reference = rows
        .iter()
        .find(|row| row.lane == view.analysis.reference_lane);
    let series: Vec<Dot> = sorted
        .iter()
        .map(|row| Dot {
            label: row.lane.clone(),
            lane: view.lane_index(&row.lane),
            value: value(row),
            interval: row.estimate.and_then(|estimate| estimate.interval),
            remark: effect(row).map_or_else(String::new, |(words, _)| words),
        })
        .collect();
    let text = view.case_text(&first.workload, case);
    let title = if text.is_empty() {
        capital(&first.quantity.title)
    } else {
        format!("{} · {text}", capital(&first.quantity.title))
    };
    let caption = View::caption(
        format!("dots-{}-{}-{case}", first.workload, first.quantity.id),
        title.clone(),
        listing(&sorted),
    );
    let unit = first.quantity.unit;
    let reference = reference.map(|row| value(row));
    let wide = dots(&caption, unit, &series, reference);
    let narrow = || narrow_dots(&for_phones(&caption), unit, &series, reference);
    figure_of_two(view, &title, wide, narrow)
}

fn listing(rows: &[&&Row]) -> String {
    let items: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row.lane, row.value_text()))
        .collect();
    format!("From the best: {}.", items.join("; "))
}

/// A chart for each case of the other parameters.
pub(super) fn over_axis(
    view: &View<'_>,
    workload: &Workload,
    axis: &str,
    quantity: &str,
) -> Markup {
    let mut cases: BTreeMap<Case, BTreeMap<&str, Vec<&Row>>> = BTreeMap::new();
    for row in view.analysis.rows_of(&workload.id) {
        if row.quantity.id == quantity && row.estimate.is_some() && row.case.0.contains_key(axis) {
            let lanes = cases.entry(Case::without(&row.case.0, axis)).or_default();
            lanes.entry(&row.lane).or_default().push(row);
        }
    }
    html! {
        @for (case, lanes) in &cases {
            @if lanes.values().any(|rows| rows.len() > 1) {
                (one_axis(view, workload, axis, case, lanes))
            }
        }
    }
}

fn one_axis(
    view: &View<'_>,
    workload: &Workload,
    axis: &str,
    case: &Case,
    lanes: &BTreeMap<&str, Vec<&Row>>,
) -> Markup {
    let mut unit = Unit::Nanoseconds;
    let mut y_title = String::new();
    // Zero has no place on a log axis. It is drawn at a quarter of the smallest other value, with
    // its own label.
    let values: std::collections::BTreeSet<u64> = lanes
        .values()
        .flatten()
        .filter_map(|row| row.case.0.get(axis).copied())
        .collect();
    let smallest = values.iter().copied().find(|value| *value > 0).unwrap_or(1) as f64;
    let zero = smallest / 4.0;
    let is_load = axis.ends_with("_per_s");
    let lines: Vec<Line> = lanes
        .iter()
        .map(|(lane, rows)| {
            let mut points: Vec<(f64, f64, Option<crate::stats::Interval>)> = rows
                .iter()
                .filter_map(|row| {
                    unit = row.quantity.unit;
                    y_title.clone_from(&row.quantity.title);
                    let at = *row.case.0.get(axis)?;
                    // A load without a fixed rate is a different experiment, not a low rate, so it
                    // is not drawn.
                    if at == 0 && is_load {
                        return None;
                    }
                    let estimate = row.estimate?;
                    Some((
                        if at == 0 { zero } else { at as f64 },
                        estimate.value,
                        estimate.interval,
                    ))
                })
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Line {
                label: (*lane).to_owned(),
                lane: view.lane_index(lane),
                points,
                fitted: Vec::new(),
            }
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    let x_unit = Unit::of_name(axis);
    let stem = axis
        .trim_end_matches("_count")
        .trim_end_matches("_bytes")
        .trim_end_matches("_ns")
        .trim_end_matches("_per_s")
        .replace('_', " ");
    let x_title = if is_load {
        format!("{stem} requests a second")
    } else {
        stem.clone()
    };
    let labelled = |value: u64| {
        let text = match x_unit {
            Unit::Bytes => format::binary_bytes(value),
            Unit::Nanoseconds if value == 0 => "0".to_owned(),
            Unit::Nanoseconds => format::nanoseconds(value as f64),
            _ => format::count(value),
        };
        (if value == 0 { zero } else { value as f64 }, text)
    };
    // Few values are ticks themselves; for many, round ticks are computed.
    let x_ticks = (values.len() <= 9).then(|| {
        values
            .iter()
            .filter(|value| **value > 0 || !is_load)
            .map(|value| labelled(*value))
            .collect()
    });
    let extra = view.case_text(&workload.id, case);
    let comma = if extra.is_empty() { "" } else { " · " };
    let title = format!("{} over {x_title}{comma}{extra}", capital(&y_title));
    let name = format!("axis-{}-{y_title}-{case}", workload.id);
    let chart = Curves {
        lines: &lines,
        x_title: &x_title,
        y_title: &y_title,
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        x_unit,
        y_unit: unit,
        x_ticks,
        ideal: None,
        breaks: &[],
        marks: true,
    };
    curves_of_lanes(view, name, title, &chart)
}

pub(super) fn growth(view: &View<'_>, title: &str, growths: &[&Growth]) -> Markup {
    let Some(first) = growths.first() else {
        return html! {};
    };
    let lines: Vec<Line> = growths
        .iter()
        .map(|growth| Line {
            label: growth.lane.clone(),
            lane: view.lane_index(&growth.lane),
            points: growth
                .points
                .iter()
                // A log axis has no place for zero.
                .filter(|(_, estimate)| estimate.value > 0.0)
                .map(|(tasks, estimate)| (*tasks as f64, estimate.value, estimate.interval))
                .collect(),
            fitted: Vec::new(),
        })
        .collect();
    let counts: std::collections::BTreeSet<u64> = growths
        .iter()
        .flat_map(|growth| growth.points.iter().map(|point| point.0))
        .collect();
    let heading = format!(
        "{} over the number of tasks",
        capital(&first.quantity.title)
    );
    let caption = View::caption(
        format!("growth-{}-{}", first.workload, first.case),
        format!("{title}: {}", first.quantity.title),
        format!(
            "One curve for each of {} lanes, both axes logarithmic; the figures are in the table below.",
            lines.len()
        ),
    );
    let chart = Curves {
        lines: &lines,
        x_title: "tasks",
        y_title: &first.quantity.title,
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        x_unit: Unit::Count,
        y_unit: first.quantity.unit,
        x_ticks: Some(
            counts
                .iter()
                .map(|count| (*count as f64, format::count(*count)))
                .collect(),
        ),
        ideal: None,
        breaks: &[],
        marks: true,
    };
    curves_figure(view, &heading, &caption, &chart)
}

pub(super) fn speedups(view: &View<'_>, workload: &Workload, own: &[&Curve]) -> Markup {
    let mut cases: BTreeMap<&Case, Vec<&Curve>> = BTreeMap::new();
    for curve in own {
        cases.entry(&curve.case).or_default().push(curve);
    }
    html! {
        @for (case, members) in cases {
            @if members.iter().any(|curve| curve.points.len() > 1) {
                (one_speedup(view, workload, case, &members))
            }
        }
    }
}

fn one_speedup(view: &View<'_>, workload: &Workload, case: &Case, members: &[&Curve]) -> Markup {
    let is_weak = members.iter().any(|curve| curve.is_weak);
    let shown = |point: &CurvePoint| match is_weak {
        true => point.efficiency,
        false => point.speedup,
    };
    let lines: Vec<Line> = members
        .iter()
        .map(|curve| {
            let points = curve.points.iter();
            let points: Vec<_> = points
                .map(|point| {
                    (
                        point.workers as f64,
                        shown(point).value,
                        shown(point).interval,
                    )
                })
                .collect();
            let last = points.last().map_or(1.0, |point| point.0);
            let fitted = curve.usl.as_ref().map_or_else(
                |_| Vec::new(),
                |fit| {
                    let steps = (0..=40).map(|step| 1.0 + (last - 1.0) * f64::from(step) / 40.0);
                    steps
                        .filter_map(|at| Some((at, fit.speedup(at)?)))
                        .collect()
                },
            );
            Line {
                label: curve.lane.clone(),
                lane: view.lane_index(&curve.lane),
                points,
                fitted,
            }
        })
        .collect();
    let workers: std::collections::BTreeSet<u64> = members
        .iter()
        .flat_map(|curve| curve.points.iter().map(|point| point.workers))
        .collect();
    let ticks = workers
        .iter()
        .map(|count| (*count as f64, format::count(*count)))
        .collect();
    let extra = view.case_text(&workload.id, case);
    let comma = if extra.is_empty() { "" } else { " · " };
    let title = match is_weak {
        true => format!("Efficiency as work and workers grow alike{comma}{extra}"),
        false => format!("Speed-up over workers{comma}{extra}"),
    };
    let best: Vec<String> = members
        .iter()
        .filter_map(|curve| {
            let last = curve.points.last()?;
            let figure = match is_weak {
                true => format::percent(last.efficiency.value),
                false => format::times(last.speedup.value),
            };
            let lane = &curve.lane;
            Some(format!("{lane} {figure} with {} workers", last.workers))
        })
        .collect();
    let caption = View::caption(
        format!("speedup-{}-{case}", workload.id),
        title.clone(),
        match is_weak {
            true => format!(
                "{}. 100%: twice the workers do twice the work in the same time.",
                best.join("; ")
            ),
            false => format!(
                "{}. Dashed curves are fits of the universal scalability law.",
                best.join("; ")
            ),
        },
    );
    let chart = Curves {
        lines: &lines,
        x_title: "workers",
        y_title: if is_weak {
            "time with one worker ÷ this time"
        } else {
            "speed-up against one worker"
        },
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        x_unit: Unit::Count,
        y_unit: if is_weak { Unit::Share } else { Unit::Count },
        x_ticks: Some(ticks),
        ideal: Some(if is_weak {
            Ideal::Level(1.0)
        } else {
            Ideal::Diagonal
        }),
        breaks: &[],
        marks: true,
    };
    curves_figure(view, &title, &caption, &chart)
}

pub(super) fn memory(
    view: &View<'_>,
    workload: &Workload,
    case: &Case,
    rows: &[&LedgerRow],
) -> Markup {
    let bars: Vec<Bar> = rows
        .iter()
        .map(|row| {
            let ledger = &row.ledger;
            Bar {
                label: row.lane.clone(),
                parts: ledger.parts.iter().map(|(_, part)| part.value).collect(),
                remark: format::bytes(ledger.sum.value),
            }
        })
        .collect();
    let legend: Vec<&str> = Part::ALL.iter().map(|part| part.title()).collect();
    let extra = view.case_text(&workload.id, case);
    let comma = if extra.is_empty() { "" } else { " · " };
    let title = format!("The parts of a task’s memory{comma}{extra}");
    let items: Vec<String> = bars
        .iter()
        .map(|bar| format!("{} {}", bar.label, bar.remark))
        .collect();
    let caption = View::caption(
        format!("ledger-{}-{case}", workload.id),
        title.clone(),
        items.join("; "),
    );
    figure(&title, stack(&caption, Unit::Bytes, &legend, &bars))
}

pub(super) fn percentiles(view: &View<'_>, workload: &Workload, case: &Case) -> Markup {
    let mut lines = Vec::new();
    for (index, lane) in view.run.header.lanes.iter().enumerate() {
        let samples = groups(view, workload, case, &lane.name).flat_map(|group| &group.samples);
        let latencies = samples.filter_map(|sample| sample.latency.as_ref());
        let merged = merge(latencies.map(|latency| latency.buckets.as_slice()));
        let count = total(&merged);
        if count == 0 {
            continue;
        }
        // From the median to the last percentile that ten requests exceed.
        let deepest = (count as f64 / 10.0).max(2.0);
        let steps = (0..=MOST_POINTS)
            .map(|step| 2.0 * (deepest / 2.0).powf(step as f64 / MOST_POINTS as f64));
        let points = steps
            .filter_map(|times| Some((times, percentile(&merged, 1.0 - 1.0 / times)? as f64, None)))
            .collect();
        lines.push(Line {
            label: lane.name.clone(),
            lane: index,
            points,
            fitted: Vec::new(),
        });
    }
    if lines.is_empty() {
        return html! {};
    }
    let ticks = [
        (2.0, "50%"),
        (10.0, "90%"),
        (100.0, "99%"),
        (1e3, "99.9%"),
        (1e4, "99.99%"),
        (1e5, "99.999%"),
        (1e6, "99.9999%"),
    ];
    let deepest = lines
        .iter()
        .filter_map(|line| line.points.last())
        .map(|point| point.0)
        .fold(2.0, f64::max);
    let x_ticks = ticks
        .iter()
        .filter(|tick| tick.0 <= deepest * 1.05)
        .map(|(at, text)| (*at, (*text).to_owned()))
        .collect();
    let extra = view.case_text(&workload.id, case);
    let comma = if extra.is_empty() { "" } else { " · " };
    let title = format!("Latency by percentile{comma}{extra}");
    let caption = View::caption(
        format!("hdr-{}-{case}", workload.id),
        title.clone(),
        "All requests of all samples together; each curve ends where ten requests are slower."
            .to_owned(),
    );
    let chart = Curves {
        lines: &lines,
        x_title: "share of requests that are at least as fast",
        y_title: "latency",
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        x_unit: Unit::Count,
        y_unit: Unit::Nanoseconds,
        x_ticks: Some(x_ticks),
        ideal: None,
        breaks: &[],
        marks: false,
    };
    curves_figure(view, &title, &caption, &chart)
}

fn groups<'a>(
    view: &View<'a>,
    workload: &'a Workload,
    case: &'a Case,
    lane: &'a str,
) -> impl Iterator<Item = &'a Group> {
    view.run.groups.iter().filter(move |group| {
        group.workload == workload.id
            && group.lane == lane
            && !group.control
            && case
                .0
                .iter()
                .all(|(name, value)| group.parameters.get(name) == Some(value))
    })
}

pub(super) fn samples(view: &View<'_>, workload: &Workload, case: &Case, row: &Row) -> Markup {
    let mut marks = Vec::new();
    let mut lines = Vec::new();
    let mut lanes = Vec::new();
    for (index, lane) in view.run.header.lanes.iter().enumerate() {
        let values: Vec<(f64, f64)> = groups(view, workload, case, &lane.name)
            .flat_map(|group| {
                let step = 1.0 / group.samples.len().max(1) as f64;
                let values = group.samples.iter().enumerate();
                values.filter_map(move |(place, sample)| {
                    let at = group.order_index as f64 + step * place as f64;
                    Some((at, row.quantity.value(sample)?))
                })
            })
            .collect();
        let plain: Vec<f64> = values.iter().map(|value| value.1).collect();
        let Some(middle) = median(&plain).filter(|middle| *middle > 0.0) else {
            continue;
        };
        lanes.push((index, lane.name.clone()));
        marks.extend(values.iter().map(|(order, value)| Mark {
            lane: index,
            order: *order,
            ratio: value / middle,
        }));
        lines.push(distribution_line(&lane.name, index, plain));
    }
    if marks.len() < 3 {
        return html! {};
    }
    marks.sort_by(|a, b| a.order.total_cmp(&b.order));
    for (place, mark) in marks.iter_mut().enumerate() {
        mark.order = place as f64;
    }
    let step = marks.len().div_ceil(MOST_MARKS);
    let drawn: Vec<Mark> = marks.iter().copied().step_by(step).collect();
    let band = view.analysis.noise.typical();
    let scatter_caption = View::caption(
        format!("order-{}", workload.id),
        "Samples in the order in which they were taken".to_owned(),
        format!(
            "{} of {} samples, each divided by its lane’s median. A slope or a step means that the host changed during the run.",
            drawn.len(),
            marks.len()
        ),
    );
    let distribution_caption = View::caption(
        format!("ecdf-{}", workload.id),
        "Distribution of the samples".to_owned(),
        "For each lane, the share of samples at or below each value.".to_owned(),
    );
    let chart = Curves {
        lines: &lines,
        x_title: &row.quantity.title,
        y_title: "share of samples",
        x_scale: Scale::Log,
        y_scale: Scale::Linear,
        x_unit: row.quantity.unit,
        y_unit: Unit::Share,
        x_ticks: None,
        ideal: None,
        breaks: &[],
        marks: false,
    };
    html! {
        (figure("Samples in the order in which they were taken; shaded: how much repeats typically differ", scatter(&scatter_caption, &Scatter { marks: &drawn, lanes: &lanes, band: band.map(|noise_ratio| Band { noise_ratio }) })))
        (figure("Distribution of the samples", curves(&distribution_caption, &chart)))
    }
}

fn distribution_line(name: &str, lane: usize, mut values: Vec<f64>) -> Line {
    values.sort_unstable_by(f64::total_cmp);
    let count = values.len();
    let step = count.div_ceil(MOST_POINTS);
    let points = values
        .iter()
        .enumerate()
        .filter(|(place, _)| place % step == 0 || place + 1 == count)
        .map(|(place, value)| (*value, (place + 1) as f64 / count as f64, None))
        .collect();
    Line {
        label: name.to_owned(),
        lane,
        points,
        fitted: Vec::new(),
    }
}
