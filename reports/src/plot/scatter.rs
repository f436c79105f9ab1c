//! The samples in order of time, each relative to its lane's median.

use super::axis::{Axis, Scale};
use super::pen::{Anchor, Caption, Ink, svg};
use crate::analysis::Unit;

/// One sample.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// The lane's place in the header.
    pub lane: usize,
    /// The index in order of time.
    pub order: f64,
    /// The sample ÷ its lane's median.
    pub ratio: f64,
}

/// How much repeats differ.
#[derive(Clone, Copy, Debug)]
pub struct Band {
    /// The typical difference between repeats, as a share.
    pub noise_ratio: f64,
}

/// What the chart shows.
#[derive(Clone, Debug)]
pub struct Scatter<'a> {
    /// The samples.
    pub marks: &'a [Mark],
    /// The lanes with samples: index in the header and name.
    pub lanes: &'a [(usize, String)],
    /// The A/A band, if there is one.
    pub band: Option<Band>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 888.0;
const TOP: f64 = 42.0;
const BOTTOM: f64 = 204.0;
/// Values further from the median are drawn at the edge.
const REACH: f64 = 1.5;

/// The chart.
#[must_use]
pub fn scatter(caption: &Caption, chart: &Scatter<'_>) -> String {
    let reach = chart
        .marks
        .iter()
        .map(|mark| mark.ratio.max(1.0 / mark.ratio))
        .chain(chart.band.map(|band| 1.0 + 2.0 * band.noise_ratio))
        .fold(1.05, f64::max)
        .min(REACH);
    let x = Axis::over(Scale::Linear, chart.marks.iter().map(|mark| mark.order)).on(LEFT, RIGHT);
    let y = Axis::between(Scale::Log, 1.0 / reach, reach).on(BOTTOM, TOP);
    svg(WIDTH, HEIGHT, caption, |pen| {
        if let Some(band) = chart.band {
            let (low, high) = (1.0 / (1.0 + band.noise_ratio), 1.0 + band.noise_ratio);
            let (from, to) = ((LEFT, y.place(high)), (RIGHT, y.place(low)));
            pen.rect(from, to, Ink::Band, 1.0);
        }
        let step = if reach > 1.25 {
            0.2
        } else if reach > 1.1 {
            0.1
        } else {
            0.02
        };
        for share in [-2.0, -1.0, 0.0, 1.0, 2.0].map(|factor| factor * step) {
            let value = 1.0 + share;
            if value < y.low || value > y.high {
                continue;
            }
            let place = y.place(value);
            pen.line((LEFT, place), (RIGHT, place), Ink::Grid, 1.0);
            let sign = if share > 0.0 { "+" } else { "" };
            let text = format!(
                "{sign}{}",
                super::axis::short(Unit::Share, share).replace('-', "−")
            );
            pen.small(&text, (LEFT - 8.0, place), Ink::Muted, Anchor::End);
        }
        for mark in chart.marks {
            pen.mark(
                mark.lane,
                (x.place(mark.order), y.place(mark.ratio)),
                2.4,
                0.75,
            );
        }
        pen.line((LEFT, BOTTOM), (RIGHT, BOTTOM), Ink::Muted, 1.0);
        pen.small(
            "order in which the samples were taken",
            (RIGHT, BOTTOM + 18.0),
            Ink::Muted,
            Anchor::End,
        );
        pen.small(
            "sample ÷ the lane’s median",
            (4.0, 30.0),
            Ink::Muted,
            Anchor::Start,
        );
        let mut place = 8.0;
        for (lane, name) in chart.lanes {
            let width = super::pen::text_width(name) + 26.0;
            if place + width > WIDTH {
                break;
            }
            pen.mark(*lane, (place, 10.0), 4.0, 1.0);
            pen.small(name, (place + 9.0, 10.0), Ink::Text, Anchor::Start);
            place += width;
        }
    })
}
