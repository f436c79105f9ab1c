//! A chart of one dot with its interval for each lane, on a log axis.

use super::axis::{Axis, Scale};
use super::pen::{Anchor, Caption, Ink, svg, text_width};
use crate::analysis::Unit;
use crate::stats::Interval;

/// One lane's figure.
#[derive(Clone, Debug)]
pub struct Dot {
    /// The label of the row.
    pub label: String,
    /// The lane's place in the header.
    pub lane: usize,
    /// The figure.
    pub value: f64,
    /// Its interval.
    pub interval: Option<Interval>,
    /// The text at the row's end.
    pub remark: String,
}

const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

struct Layout {
    width: f64,
    row: f64,
    /// The distances of the text and of the mark from the top of a row.
    words: f64,
    mark: f64,
    /// The grid leaves this height of a row free for the text.
    clear: f64,
    /// The place of a label, and the right end of a value.
    label: (f64, Anchor),
    value: f64,
    remark: (f64, Anchor),
    left: f64,
    right: f64,
    ticks: usize,
}

/// The dot plot of `rows` from the top; a line marks `reference`.
#[must_use]
pub fn dots(caption: &Caption, unit: Unit, rows: &[Dot], reference: Option<f64>) -> String {
    const WIDTH: f64 = 900.0;
    let widest = |text: fn(&Dot) -> &str, least: f64| {
        let widths = rows.iter().map(|row| text_width(text(row)));
        widths.fold(least, f64::max)
    };
    let label = widest(|row| &row.label, 70.0).min(210.0);
    let remark = widest(|row| &row.remark, 0.0).min(170.0);
    let value = label + 72.0;
    let right = WIDTH - remark - 14.0;
    let layout = Layout {
        width: WIDTH,
        row: 26.0,
        words: 13.0,
        mark: 13.0,
        clear: 0.0,
        label: (label, Anchor::End),
        value,
        remark: (right + 14.0, Anchor::Start),
        left: value + 18.0,
        right,
        ticks: 7,
    };
    draw(caption, unit, rows, reference, &layout)
}

/// The chart for a phone: each row's text is above its dot.
#[must_use]
pub fn narrow_dots(caption: &Caption, unit: Unit, rows: &[Dot], reference: Option<f64>) -> String {
    const WIDTH: f64 = 330.0;
    let layout = Layout {
        width: WIDTH,
        row: 40.0,
        words: 11.0,
        mark: 27.0,
        clear: 18.0,
        label: (2.0, Anchor::Start),
        value: 218.0,
        remark: (WIDTH - 2.0, Anchor::End),
        left: 12.0,
        right: WIDTH - 12.0,
        ticks: 4,
    };
    draw(caption, unit, rows, reference, &layout)
}

fn draw(
    caption: &Caption,
    unit: Unit,
    rows: &[Dot],
    reference: Option<f64>,
    layout: &Layout,
) -> String {
    let ends = rows.iter().flat_map(|row| {
        let interval = row.interval.unwrap_or(Interval {
            low: row.value,
            high: row.value,
        });
        [row.value, interval.low, interval.high]
    });
    let axis = Axis::over(Scale::Log, ends).on(layout.left, layout.right);
    let bottom = TOP + layout.row * rows.len() as f64;
    // The line is interrupted by the rows' text.
    let stretches: Vec<(f64, f64)> = match layout.clear > 0.0 {
        false => vec![(TOP, bottom)],
        true => (1..=rows.len())
            .map(|end| TOP + layout.row * end as f64)
            .map(|end| (end - layout.row + layout.clear, end))
            .collect(),
    };
    svg(layout.width, bottom + BOTTOM, caption, |pen| {
        for (value, text) in axis.labels(unit, layout.ticks) {
            let x = axis.place(value);
            for &(from, to) in &stretches {
                pen.line((x, from), (x, to), Ink::Grid, 1.0);
            }
            pen.small(&text, (x, bottom + 14.0), Ink::Muted, Anchor::Middle);
        }
        if let Some(reference) = reference {
            let x = axis.place(reference);
            for &(from, to) in &stretches {
                pen.dashes(&[(x, from), (x, to)], Ink::Muted, 1.0);
            }
        }
        for (index, row) in rows.iter().enumerate() {
            let top = TOP + layout.row * index as f64;
            let (words, y) = (top + layout.words, top + layout.mark);
            let (label, anchor) = layout.label;
            pen.text(&row.label, (label, words), Ink::Text, anchor);
            let value = unit.text(row.value);
            pen.bold(&value, (layout.value, words), Ink::Text, Anchor::End);
            if let Some(interval) = row.interval {
                let (from, to) = (axis.place(interval.low), axis.place(interval.high));
                pen.line((from, y), (to, y), Ink::Lane(row.lane), 2.0);
                for x in [from, to] {
                    pen.line((x, y - 4.0), (x, y + 4.0), Ink::Lane(row.lane), 2.0);
                }
            }
            pen.mark(row.lane, (axis.place(row.value), y), 5.0, 1.0);
            let (remark, anchor) = layout.remark;
            pen.text(&row.remark, (remark, words), Ink::Muted, anchor);
        }
    })
}
