//! Scales and their ticks.

use crate::analysis::Unit;

/// How values are placed on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps add the same amount; `Axis::over` includes zero.
    Linear,
    /// Equal steps multiply by the same factor.
    Log,
}

/// A range of values on a range of pixels.
#[derive(Clone, Debug)]
pub struct Axis {
    pub(super) scale: Scale,
    pub(super) low: f64,
    pub(super) high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis over `values`, with some space beyond. A log axis skips values that are not above
    /// zero.
    #[must_use]
    pub fn over(scale: Scale, values: impl IntoIterator<Item = f64>) -> Axis {
        let usable = |value: &f64| value.is_finite() && (scale == Scale::Linear || *value > 0.0);
        let (low, high) = values
            .into_iter()
            .filter(usable)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let (low, high) = match (scale, low <= high) {
            (Scale::Linear, false) => (0.0, 1.0),
            (Scale::Log, false) => (1.0, 10.0),
            (Scale::Linear, true) => (low.min(0.0), if high > 0.0 { high * 1.04 } else { 1.0 }),
            (Scale::Log, true) => {
                // The axis spans at least a factor of four.
                let air = (high / low).powf(0.04).max(1.12);
                let (low, high) = (low / air, high * air);
                let lack = (4.0 / (high / low)).max(1.0).sqrt();
                (low / lack, high * lack)
            }
        };
        Axis::between(scale, low, high)
    }

    /// An axis from `low` to `high`.
    #[must_use]
    pub fn between(scale: Scale, low: f64, high: f64) -> Axis {
        Axis {
            scale,
            low,
            high,
            from: 0.0,
            to: 1.0,
        }
    }

    /// The same axis on pixels `from` to `to`.
    #[must_use]
    pub fn on(self, from: f64, to: f64) -> Axis {
        Axis { from, to, ..self }
    }

    /// The pixel of `value`, or of the nearer end of the axis if `value` is beyond it.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        let share = if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        };
        self.from + (self.to - self.from) * share
    }

    /// About `wanted` ticks.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<f64> {
        match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high, wanted),
            Scale::Log => log_ticks(self.low, self.high, wanted),
        }
    }

    /// About `wanted` ticks, each with its label in `unit`.
    pub(super) fn labels(&self, unit: Unit, wanted: usize) -> Vec<(f64, String)> {
        self.ticks(wanted)
            .into_iter()
            .map(|value| (value, short(unit, value)))
            .collect()
    }
}

/// The unit's text without trailing zeros.
pub(super) fn short(unit: Unit, value: f64) -> String {
    let text = unit.text(value);
    let (number, rest) = match text.split_once('\u{a0}') {
        Some((number, rest)) => (number, format!("\u{a0}{rest}")),
        None => {
            let mut signs = ["%", "×"].into_iter();
            let found = signs.find_map(|sign| Some((text.strip_suffix(sign)?, sign)));
            found.map_or((text.as_str(), String::new()), |(number, sign)| {
                (number, sign.to_owned())
            })
        }
    };
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    format!("{number}{rest}")
}

fn linear_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let raw = (high - low) / wanted.max(1) as f64;
    if !(raw > 0.0 && raw.is_finite()) {
        return vec![low];
    }
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|index| index as f64 * step).collect()
}

fn log_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |value: &f64| *value >= low * 0.999 && *value <= high * 1.001;
    let with = |factors: &[f64]| -> Vec<f64> {
        (first..=last)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
            .filter(inside)
            .collect()
    };
    for factors in [[1.0, 2.0, 5.0].as_slice(), &[1.0, 3.0], &[1.0]] {
        let ticks = with(factors);
        if ticks.len() <= wanted.max(2) {
            return ticks;
        }
    }
    let decades = with(&[1.0]);
    let step = decades.len().div_ceil(wanted.max(1));
    decades.into_iter().step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_axis_maps_decades_to_equal_steps() {
        let axis = Axis::between(Scale::Log, 1.0, 100.0).on(0.0, 200.0);
        assert!((axis.place(10.0) - 100.0).abs() < 1e-9);
        assert_eq!(
            axis.place(0.0),
            0.0,
            "what has no logarithm is put on the end"
        );
    }

    #[test]
    fn ticks_are_inside_and_not_too_many() {
        for (low, high) in [(1.0, 4.0), (3e-3, 7e8), (23.0, 29.0), (1e-9, 1e9)] {
            let axis = Axis::over(Scale::Log, [low, high]);
            let ticks = axis.ticks(7);
            assert!((2..=7).contains(&ticks.len()), "{low} {high} {ticks:?}");
        }
        assert_eq!(linear_ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn axis_over_nothing_is_still_an_axis() {
        assert!(!Axis::over(Scale::Log, []).ticks(5).is_empty());
        assert!(!Axis::over(Scale::Linear, [f64::NAN]).ticks(5).is_empty());
        assert!(Axis::over(Scale::Linear, [0.0]).place(0.5).is_finite());
    }

    #[test]
    fn labels_have_no_trailing_zeros() {
        assert_eq!(
            short(Unit::Nanoseconds, 1_000.0).replace('\u{a0}', " "),
            "1 µs"
        );
        assert_eq!(
            short(Unit::Nanoseconds, 2_500.0).replace('\u{a0}', " "),
            "2.5 µs"
        );
        assert_eq!(short(Unit::Share, 0.5), "50%");
        assert_eq!(short(Unit::Factor, 2.0), "2×");
        assert_eq!(short(Unit::Count, 100.0), "100");
    }
}
