//! Curves of lanes over another quantity.

use super::axis::{Axis, Scale};
use super::pen::{Anchor, Caption, Ink, Pen, svg, text_width};
use crate::analysis::Unit;
use crate::stats::Interval;

/// One lane's curve.
#[derive(Clone, Debug)]
pub struct Line {
    /// The label of the curve.
    pub label: String,
    /// The lane's place in the header.
    pub lane: usize,
    /// The points in ascending order of x, each with its y and interval.
    pub points: Vec<(f64, f64, Option<Interval>)>,
    /// A fitted curve, drawn dashed instead of lines between points; may be empty.
    pub fitted: Vec<(f64, f64)>,
}

/// The ideal curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ideal {
    /// y = x.
    Diagonal,
    /// A constant y.
    Level(f64),
    /// y should be below this.
    Limit(f64),
}

/// What the chart shows.
#[derive(Clone, Debug)]
pub struct Curves<'a> {
    /// The curves.
    pub lines: &'a [Line],
    /// The title of the x axis.
    pub x_title: &'a str,
    /// The title of the y axis.
    pub y_title: &'a str,
    /// How x is scaled.
    pub x_scale: Scale,
    /// How y is scaled.
    pub y_scale: Scale,
    /// The unit of x.
    pub x_unit: Unit,
    /// The unit of y.
    pub y_unit: Unit,
    /// Ticks of x with their labels, if they are not computed.
    pub x_ticks: Option<Vec<(f64, String)>>,
    /// The ideal curve, drawn dashed.
    pub ideal: Option<Ideal>,
    /// A dashed vertical line at each of these x.
    pub breaks: &'a [f64],
    /// Whether points are marked.
    pub marks: bool,
}

const TOP: f64 = 26.0;
const LEFT: f64 = 66.0;
/// Labels that are closer would overlap.
const LABEL_GAP: f64 = 15.0;
/// The height of the labels and the title below the x axis.
const UNDER: f64 = 44.0;

struct Layout {
    width: f64,
    right: f64,
    bottom: f64,
    /// About how many labels the x axis has.
    ticks: usize,
    /// Columns of names below the chart; if `None`, names are at the curves' ends.
    columns: Option<usize>,
}

/// The wide chart.
#[must_use]
pub fn curves(caption: &Caption, chart: &Curves<'_>) -> String {
    const WIDTH: f64 = 900.0;
    let widths = chart.lines.iter().map(|line| text_width(&line.label));
    let room = widths.fold(40.0, f64::max).min(180.0) + 34.0;
    let layout = Layout {
        width: WIDTH,
        right: WIDTH - room,
        bottom: 296.0,
        ticks: 8,
        columns: None,
    };
    draw_all(caption, chart, &layout)
}

/// The chart for a phone: the names are below it.
#[must_use]
pub fn narrow_curves(caption: &Caption, chart: &Curves<'_>) -> String {
    const WIDTH: f64 = 330.0;
    let layout = Layout {
        width: WIDTH,
        right: WIDTH - 14.0,
        bottom: 236.0,
        ticks: 4,
        columns: Some(2),
    };
    draw_all(caption, chart, &layout)
}

fn draw_all(caption: &Caption, chart: &Curves<'_>, layout: &Layout) -> String {
    let (right, bottom) = (layout.right, layout.bottom);
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let mut ys: Vec<f64> = points()
        .flat_map(|(_, y, interval)| {
            let interval = interval.unwrap_or(Interval { low: *y, high: *y });
            [*y, interval.low, interval.high]
        })
        .collect();
    ys.extend(
        chart
            .lines
            .iter()
            .flat_map(|line| line.fitted.iter().map(|point| point.1)),
    );
    if let Some(Ideal::Level(level) | Ideal::Limit(level)) = chart.ideal {
        ys.push(level);
    }
    let xs = points().map(|point| point.0).chain(
        chart
            .lines
            .iter()
            .flat_map(|line| line.fitted.iter().map(|point| point.0)),
    );
    let x = Axis::over(chart.x_scale, xs).on(LEFT, right);
    let y = Axis::over(chart.y_scale, ys).on(bottom, TOP);
    let lanes = chart.lines.len();
    let height = match layout.columns {
        Some(columns) => bottom + UNDER + LABEL_GAP * lanes.div_ceil(columns) as f64 + 4.0,
        // Many labels need more height than their curves.
        None => (bottom + UNDER).max(TOP + LABEL_GAP * lanes as f64 + 12.0),
    };
    svg(layout.width, height, caption, |pen| {
        frame(pen, chart, &x, &y, layout);
        if let Some(ideal) = chart.ideal {
            let (start, end, beside) = match ideal {
                Ideal::Diagonal => {
                    let (start, end) = (x.low.max(y.low), x.high.min(y.high));
                    ((start, start), (end, end), -8.0)
                }
                Ideal::Level(level) | Ideal::Limit(level) => ((x.low, level), (x.high, level), 0.0),
            };
            let path = [start, end].map(|at| (x.place(at.0), y.place(at.1)));
            pen.dashes(&path, Ink::Muted, 1.0);
            let middle = (
                f64::midpoint(path[0].0, path[1].0) + beside,
                f64::midpoint(path[0].1, path[1].1) - 10.0,
            );
            let label = match ideal {
                Ideal::Limit(_) => "limit",
                Ideal::Diagonal | Ideal::Level(_) => "ideal",
            };
            pen.small(label, middle, Ink::Muted, Anchor::End);
        }
        for at in chart.breaks {
            let place = x.place(*at);
            pen.dashes(&[(place, TOP), (place, layout.bottom)], Ink::Muted, 1.0);
        }
        for line in chart.lines {
            draw(pen, chart, line, &x, &y);
        }
        match layout.columns {
            Some(columns) => legend(pen, chart, layout, columns),
            None => labels(pen, chart, &y, layout),
        }
    })
}

fn frame(pen: &mut Pen<'_>, chart: &Curves<'_>, x: &Axis, y: &Axis, layout: &Layout) {
    let (right, bottom) = (layout.right, layout.bottom);
    for (value, text) in y.labels(chart.y_unit, 6) {
        let place = y.place(value);
        pen.line((LEFT, place), (right, place), Ink::Grid, 1.0);
        pen.small(&text, (LEFT - 8.0, place), Ink::Muted, Anchor::End);
    }
    let computed = || x.labels(chart.x_unit, layout.ticks);
    let mut label_end = f64::NEG_INFINITY;
    for (value, text) in chart.x_ticks.clone().unwrap_or_else(computed) {
        let place = x.place(value);
        pen.line((place, bottom), (place, bottom + 4.0), Ink::Muted, 1.0);
        // A label that would overlap the previous one is left out.
        let half = text_width(&text) / 2.0;
        let middle = place.min(layout.width - half);
        if middle - half > label_end {
            pen.small(&text, (middle, bottom + 15.0), Ink::Muted, Anchor::Middle);
            label_end = middle + half;
        }
    }
    pen.line((LEFT, bottom), (right, bottom), Ink::Muted, 1.0);
    pen.small(chart.y_title, (4.0, 9.0), Ink::Muted, Anchor::Start);
    pen.small(
        chart.x_title,
        (right, bottom + 34.0),
        Ink::Muted,
        Anchor::End,
    );
}

fn draw(pen: &mut Pen<'_>, chart: &Curves<'_>, line: &Line, x: &Axis, y: &Axis) {
    let ink = Ink::Lane(line.lane);
    let fitted: Vec<(f64, f64)> = line
        .fitted
        .iter()
        .map(|&(at, value)| (x.place(at), y.place(value)))
        .collect();
    pen.dashes(&fitted, ink, 1.0);
    let path: Vec<(f64, f64)> = line
        .points
        .iter()
        .map(|point| (x.place(point.0), y.place(point.1)))
        .collect();
    if fitted.is_empty() {
        pen.path(&path, ink, 2.0);
    }
    if !chart.marks {
        return;
    }
    for (place, point) in path.iter().zip(&line.points) {
        if let Some(interval) = point.2 {
            let (low, high) = (y.place(interval.low), y.place(interval.high));
            pen.line((place.0, low), (place.0, high), ink, 1.5);
        }
        pen.mark(line.lane, *place, 4.0, 1.0);
    }
}

/// Names at the curves' ends, moved apart where they would overlap.
fn labels(pen: &mut Pen<'_>, chart: &Curves<'_>, y: &Axis, layout: &Layout) {
    let right = layout.right;
    let mut places: Vec<(f64, &Line)> = chart
        .lines
        .iter()
        .filter_map(|line| {
            let last = line.points.last().map(|point| point.1)?;
            Some((
                y.place(line.fitted.last().map_or(last, |point| point.1)),
                line,
            ))
        })
        .collect();
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut next = TOP;
    for place in &mut places {
        place.0 = place.0.max(next);
        next = place.0 + LABEL_GAP;
    }
    let mut lowest = layout.bottom.max(TOP + LABEL_GAP * places.len() as f64);
    for place in places.iter_mut().rev() {
        place.0 = place.0.min(lowest);
        lowest = place.0 - LABEL_GAP;
    }
    for (place, line) in places {
        pen.mark(line.lane, (right + 14.0, place), 4.0, 1.0);
        pen.text(&line.label, (right + 24.0, place), Ink::Text, Anchor::Start);
    }
}

fn legend(pen: &mut Pen<'_>, chart: &Curves<'_>, layout: &Layout, columns: usize) {
    let step = layout.width / columns as f64;
    for (index, line) in chart.lines.iter().enumerate() {
        let x = 8.0 + step * (index % columns) as f64;
        let y = layout.bottom + UNDER + LABEL_GAP * ((index / columns) as f64 + 0.5);
        pen.mark(line.lane, (x, y), 4.0, 1.0);
        pen.small(&line.label, (x + 9.0, y), Ink::Text, Anchor::Start);
    }
}
