//! The parts of memory: a stacked bar for each lane.
//!
//! Bars differ by factors of hundreds, and a stacked bar needs a linear axis. So small bars are
//! drawn again below, on their own scale.

use super::axis::{Axis, Scale};
use super::pen::{Anchor, Caption, Ink, Pen, svg, text_width};
use crate::analysis::Unit;

/// One lane's bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// The lane's name.
    pub label: String,
    /// The parts in the order of the legend; negative ones are not drawn.
    pub parts: Vec<f64>,
    /// The text at the bar's end.
    pub remark: String,
}

const WIDTH: f64 = 900.0;
const ROW: f64 = 28.0;
const LEGEND: f64 = 34.0;
const FOOT: f64 = 40.0;
/// Bars below this share of the longest are drawn again.
const SMALL: f64 = 0.1;

/// The chart; `legend` names the parts.
#[must_use]
pub fn stack(caption: &Caption, unit: Unit, legend: &[&str], bars: &[Bar]) -> String {
    let longest = bars.iter().map(total).fold(0.0, f64::max);
    let is_small = |bar: &&Bar| total(bar) < SMALL * longest;
    let large: Vec<&Bar> = bars.iter().collect();
    let small: Vec<&Bar> = bars.iter().filter(is_small).collect();
    let panels = if small.is_empty() {
        vec![large]
    } else {
        vec![large, small]
    };
    let height: f64 = 8.0
        + LEGEND
        + 8.0
        + panels
            .iter()
            .map(|panel| ROW * panel.len() as f64 + FOOT)
            .sum::<f64>();
    let label = bars
        .iter()
        .map(|bar| text_width(&bar.label))
        .fold(60.0, f64::max)
        .min(200.0);
    let remark = bars
        .iter()
        .map(|bar| text_width(&bar.remark))
        .fold(60.0, f64::max)
        .min(220.0);
    let (left, right) = (label + 12.0, WIDTH - remark - 16.0);
    svg(WIDTH, height, caption, |pen| {
        let mut x = left;
        for (part, name) in legend.iter().enumerate() {
            pen.rect((x, 6.0), (x + 12.0, 18.0), Ink::Part(part), 1.0);
            pen.small(name, (x + 17.0, 12.0), Ink::Text, Anchor::Start);
            x += text_width(name) + 34.0;
        }
        let mut top = LEGEND;
        for (index, panel) in panels.iter().enumerate() {
            if index > 0 {
                pen.small(
                    "the small bars, enlarged",
                    (left, top - 4.0),
                    Ink::Muted,
                    Anchor::Start,
                );
                top += 14.0;
            }
            draw(pen, panel, unit, top, (label, left, right));
            top += ROW * panel.len() as f64 + FOOT - 8.0;
        }
    })
}

fn total(bar: &Bar) -> f64 {
    bar.parts.iter().map(|part| part.max(0.0)).sum()
}

fn draw(pen: &mut Pen<'_>, bars: &[&Bar], unit: Unit, top: f64, place: (f64, f64, f64)) {
    let (label, left, right) = place;
    let axis = Axis::over(Scale::Linear, bars.iter().map(|bar| total(bar))).on(left, right);
    let bottom = top + ROW * bars.len() as f64;
    for (value, text) in axis.labels(unit, 6) {
        let x = axis.place(value);
        pen.line((x, top), (x, bottom), Ink::Grid, 1.0);
        pen.small(&text, (x, bottom + 11.0), Ink::Muted, Anchor::Middle);
    }
    for (index, bar) in bars.iter().enumerate() {
        let y = top + ROW * (index as f64 + 0.5);
        pen.text(&bar.label, (label, y), Ink::Text, Anchor::End);
        let mut sum = 0.0;
        for (part, bytes) in bar.parts.iter().enumerate() {
            let bytes = bytes.max(0.0);
            let (from, to) = (axis.place(sum), axis.place(sum + bytes));
            sum += bytes;
            if to - from > 0.05 {
                pen.rect((from, y - 9.0), (to, y + 9.0), Ink::Part(part), 1.0);
                // Lines separate the parts too, not only colour.
                pen.line((to, y - 9.0), (to, y + 9.0), Ink::Paper, 1.0);
            }
        }
        pen.text(&bar.remark, (right + 12.0, y), Ink::Text, Anchor::Start);
    }
}
