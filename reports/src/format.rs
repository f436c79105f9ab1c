//! Figures as text: three digits and a suitable unit.

/// `value` to three significant digits, with separated thousands; with an exponent only below
/// 0.0001 and from 10¹⁵ on.
#[must_use]
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return "n/a".to_owned();
    }
    let digits = value.abs().log10().floor() as i32;
    if !(-4..=14).contains(&digits) {
        return format!("{value:.2e}");
    }
    let scale = 10f64.powi(2 - digits);
    let rounded = (value * scale).round() / scale;
    // Rounding may add a digit: 999.6 becomes 1,000.
    let digits = rounded.abs().log10().floor() as i32;
    let decimals = usize::try_from(2 - digits).unwrap_or(0);
    thousands(&format!("{rounded:.decimals$}"))
}

/// A whole number with its thousands separated.
#[must_use]
pub fn count(value: u64) -> String {
    thousands(&value.to_string())
}

fn thousands(text: &str) -> String {
    let (sign, text) = text
        .strip_prefix('-')
        .map_or(("", text), |text| ("−", text));
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text, None), |(w, r)| (w, Some(r)));
    let mut out = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn scaled(value: f64, steps: &[(f64, &str)]) -> String {
    // Compared after rounding, so 999.9 ns becomes 1.00 µs.
    let fits = |step: &&(f64, &str)| value.abs() >= step.0 * 0.9995;
    let (size, unit) = steps
        .iter()
        .find(fits)
        .or(steps.last())
        .copied()
        .unwrap_or((1.0, ""));
    format!("{}\u{a0}{unit}", number(value / size))
}

/// A duration in nanoseconds, as `310 ns`, `26.0 µs`, `1.20 ms`, `3.10 s`.
#[must_use]
pub fn nanoseconds(value: f64) -> String {
    scaled(value, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")])
}

/// Bytes, as `440 B`, `38.2 kB`, `2.10 MB`; kilo is a thousand.
#[must_use]
pub fn bytes(value: f64) -> String {
    scaled(
        value,
        &[
            (1e12, "TB"),
            (1e9, "GB"),
            (1e6, "MB"),
            (1e3, "kB"),
            (1.0, "B"),
        ],
    )
}

/// Events a second, as `175 k/s`.
#[must_use]
pub fn per_second(value: f64) -> String {
    scaled(
        value,
        &[(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
    )
}

/// A share as a percentage, as `4.2%`.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent.abs() >= 99.95 {
        format!("{percent:.0}%")
    } else if percent.abs() >= 0.95 || percent == 0.0 {
        format!("{percent:.1}%")
    } else {
        format!("{percent:.2}%")
    }
}

/// A number with its noun: `1 run`, `4 runs`.
#[must_use]
pub fn counted(value: usize, noun: &str) -> String {
    let end = if value == 1 { "" } else { "s" };
    format!("{} {noun}{end}", count(value as u64))
}

/// A factor, as `85×` or `0.012×`.
#[must_use]
pub fn times(ratio: f64) -> String {
    format!("{}×", factor(ratio))
}

/// The number of [`times`]: two decimals from 1 to 10, else three digits.
fn factor(ratio: f64) -> String {
    if (1.0..9.995).contains(&ratio) {
        format!("{ratio:.2}")
    } else {
        number(ratio)
    }
}

/// `low – high`, with the unit only once if both texts have the same unit: `305 – 318 ns`.
#[must_use]
pub fn range(low: &str, high: &str) -> String {
    let unit = |text: &str| {
        text.rfind(|letter: char| letter.is_ascii_digit())
            .map_or(0, |at| at + 1)
    };
    let (number, low_unit) = low.split_at(unit(low));
    let high_unit = &high[unit(high)..];
    let low = if low_unit == high_unit { number } else { low };
    format!("{low} – {high}")
}

/// A parameter in words: `1,000 tasks`, `capacity 64`, `sleep 10.0 s`.
#[must_use]
pub fn parameter(name: &str, value: u64) -> String {
    let words = |stem: &str| stem.replace('_', " ");
    if let Some(stem) = name.strip_suffix("_count") {
        let stem = words(stem);
        // A word without a plural, such as `capacity`, is no count: its number follows it.
        let Some(one) = stem.strip_suffix('s') else {
            return format!("{stem}\u{a0}{}", count(value));
        };
        let stem = if value == 1 { one } else { &stem };
        return format!("{}\u{a0}{stem}", count(value));
    }
    if let Some(stem) = name.strip_suffix("_per_s") {
        return if value == 0 {
            "each client waits for its answer".to_owned()
        } else {
            format!("{} {}/s", words(stem), count(value))
        };
    }
    if let Some(stem) = name.strip_suffix("_ns") {
        return format!("{} {}", words(stem), nanoseconds(value as f64));
    }
    if let Some(stem) = name.strip_suffix("_bytes") {
        return format!("{} {}", words(stem), binary_bytes(value));
    }
    format!("{} {}", words(name), count(value))
}

/// A size that was chosen: `64 KiB` if it is a whole number of KiB.
#[must_use]
pub fn binary_bytes(value: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if value > 0 && value.trailing_zeros() >= shift {
            return format!("{}\u{a0}{unit}", count(value >> shift));
        }
    }
    format!("{}\u{a0}B", count(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_fits() {
        let text = |value| nanoseconds(value).replace('\u{a0}', " ");
        assert_eq!(text(310.4), "310 ns");
        assert_eq!(text(4.29), "4.29 ns");
        assert_eq!(text(999.9), "1.00 µs");
        assert_eq!(text(26_000.0), "26.0 µs");
        assert_eq!(text(3.1e9), "3.10 s");
        assert_eq!(text(7.2e12), "7,200 s");
        assert_eq!(text(0.0), "0 ns");
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(number(0.012_345), "0.0123");
        assert_eq!(number(999.96), "1,000");
        assert_eq!(number(-1234.0), "−1,230");
        assert_eq!(number(f64::NAN), "n/a");
        assert_eq!(number(1e-9), "1.00e-9");
    }

    #[test]
    fn bytes_are_decimal_and_chosen_sizes_binary() {
        assert_eq!(bytes(38_220.0).replace('\u{a0}', " "), "38.2 kB");
        assert_eq!(binary_bytes(65_536).replace('\u{a0}', " "), "64 KiB");
        assert_eq!(binary_bytes(1_000).replace('\u{a0}', " "), "1,000 B");
        assert_eq!(binary_bytes(0).replace('\u{a0}', " "), "0 B");
    }

    #[test]
    fn parameters_read_as_words() {
        let text = |name, value| parameter(name, value).replace('\u{a0}', " ");
        assert_eq!(text("tasks_count", 1000), "1,000 tasks");
        assert_eq!(text("workers_count", 1), "1 worker");
        assert_eq!(text("capacity_count", 64), "capacity 64");
        assert_eq!(text("sleep_ns", 10_000_000_000), "sleep 10.0 s");
        assert_eq!(text("payload_bytes", 64), "payload 64 B");
        assert_eq!(text("offered_per_s", 0), "each client waits for its answer");
    }

    #[test]
    fn ranges_say_their_unit_once() {
        assert_eq!(range("305 ns", "318 ns"), "305 – 318 ns");
        assert_eq!(range("916 ns", "1.10 µs"), "916 ns – 1.10 µs");
        assert_eq!(range("0.540×", "0.580×"), "0.540 – 0.580×");
        assert_eq!(range("n/a", "5%"), "n/a – 5%");
        assert_eq!(range("3", "7"), "3 – 7");
    }

    #[test]
    fn factors_below_ten_keep_two_decimals() {
        assert_eq!(times(1.5), "1.50×");
        assert_eq!(times(85.3), "85.3×");
        assert_eq!(times(0.012), "0.0120×");
    }
}
