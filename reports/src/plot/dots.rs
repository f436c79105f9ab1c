//! Which is fastest, and by how much: a dot with its interval for each lane,
//! on one log axis.

use super::axis::{Axis, Scale};
use super::pen::{Anchor, Caption, Ink, svg, text_width};
use crate::analysis::Unit;
use crate::stats::Interval;

/// One lane's figure.
#[derive(Clone, Debug)]
pub struct Dot {
    /// What the row is called.
    pub label: String,
    /// The lane's place in the header.
    pub lane: usize,
    /// The figure.
    pub value: f64,
    /// Where it lies.
    pub interval: Option<Interval>,
    /// What stands at the row's end: the ratio and the verdict.
    pub remark: String,
}

const WIDTH: f64 = 900.0;
const ROW: f64 = 26.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// The dot plot of `rows`, in their order from the top; a line marks
/// `reference`, where there is one.
#[must_use]
pub fn dots(caption: &Caption, unit: Unit, rows: &[Dot], reference: Option<f64>) -> String {
    let height = TOP + ROW * rows.len() as f64 + BOTTOM;
    let label = rows
        .iter()
        .map(|row| text_width(&row.label))
        .fold(70.0, f64::max)
        .min(210.0);
    let remark = rows
        .iter()
        .map(|row| text_width(&row.remark))
        .fold(0.0, f64::max)
        .min(170.0);
    let value = 64.0;
    let left = label + value + 26.0;
    let right = WIDTH - remark - 14.0;
    let ends = rows.iter().flat_map(|row| {
        let interval = row.interval.unwrap_or(Interval {
            low: row.value,
            high: row.value,
        });
        [row.value, interval.low, interval.high]
    });
    let axis = Axis::over(Scale::Log, ends).on(left, right);
    let bottom = TOP + ROW * rows.len() as f64;
    svg(WIDTH, height, caption, |pen| {
        for (value, text) in axis.labels(unit, 7) {
            let x = axis.place(value);
            pen.line((x, TOP), (x, bottom), Ink::Grid, 1.0);
            pen.small(&text, (x, bottom + 14.0), Ink::Muted, Anchor::Middle);
        }
        if let Some(reference) = reference {
            let x = axis.place(reference);
            pen.dashes(&[(x, TOP), (x, bottom)], Ink::Muted, 1.0);
        }
        for (index, row) in rows.iter().enumerate() {
            let y = TOP + ROW * (index as f64 + 0.5);
            pen.text(&row.label, (label, y), Ink::Text, Anchor::End);
            pen.bold(
                &unit.text(row.value),
                (label + value + 8.0, y),
                Ink::Text,
                Anchor::End,
            );
            if let Some(interval) = row.interval {
                let (from, to) = (axis.place(interval.low), axis.place(interval.high));
                pen.line((from, y), (to, y), Ink::Lane(row.lane), 2.0);
                for x in [from, to] {
                    pen.line((x, y - 4.0), (x, y + 4.0), Ink::Lane(row.lane), 2.0);
                }
            }
            pen.mark(row.lane, (axis.place(row.value), y), 5.0, 1.0);
            pen.text(&row.remark, (right + 14.0, y), Ink::Muted, Anchor::Start);
        }
    })
}
