//! The warm-up: the work of a process before its first sample.
//!
//! The warm-up goes in pieces. It is *flat* when none of the last [`PIECES`] - 1 pieces is faster
//! than the fastest earlier piece by more than [`FLAT`]. For a language that is compiled while it
//! runs, the last [`LATE_PIECES`] - 1 pieces count, and the warm-up takes at least
//! [`LATE_LEAST_NS`]: such compilers work in steps and in the background. The warm-up has a bound.
//!
//! The rule is by Georges, Buytaert and Eeckhout, "Statistically rigorous Java performance
//! evaluation", OOPSLA 2007, with a bound on the time.

/// A piece counts as faster if it is faster by more than this share.
const FLAT: f64 = 0.05;
const PIECES: usize = 2;
/// As [`PIECES`], for a language that is compiled while it runs.
const LATE_PIECES: usize = 4;
const LATE_LEAST_NS: u64 = 200_000_000;
const LATE_MOST_NS: f64 = 3e9;
const MOST_PIECES: f64 = 8.0;

const LATE_LANGUAGES: [&str; 4] = ["java", "javascript", "node", "php"];

pub(super) fn compiles_late(language: &str) -> bool {
    let language = language.to_lowercase();
    LATE_LANGUAGES
        .iter()
        .any(|late| language.split_whitespace().next() == Some(*late))
}

pub(super) fn most_ns(piece_ns: f64, compiles_late: bool) -> f64 {
    match compiles_late {
        true => LATE_MOST_NS.max(piece_ns),
        false => MOST_PIECES * piece_ns,
    }
}

#[derive(Debug, Default)]
pub(super) struct WarmUp {
    pieces: Vec<f64>,
    pub(super) elapsed_ns: u64,
}

impl WarmUp {
    pub(super) fn add(&mut self, elapsed_ns: u64, iterations: u64) {
        self.pieces
            .push(elapsed_ns as f64 / iterations.max(1) as f64);
        self.elapsed_ns += elapsed_ns;
    }

    pub(super) fn is_flat(&self, compiles_late: bool) -> bool {
        let (pieces, least_ns) = match compiles_late {
            true => (LATE_PIECES, LATE_LEAST_NS),
            false => (PIECES, 0),
        };
        let fastest = |of: &[f64]| of.iter().copied().fold(f64::INFINITY, f64::min);
        let Some(from) = self
            .pieces
            .len()
            .checked_sub(pieces - 1)
            .filter(|from| *from > 0)
        else {
            return false;
        };
        let (earlier, latest) = self.pieces.split_at(from);
        self.elapsed_ns >= least_ns && fastest(latest) >= fastest(earlier) * (1.0 - FLAT)
    }

    pub(super) fn iteration_ns(&self) -> Option<f64> {
        self.pieces.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat_after(compiles_late: bool, piece_ns: impl Fn(usize) -> u64) -> usize {
        let mut warm_up = WarmUp::default();
        let pieces = 1..=1_000;
        pieces
            .into_iter()
            .find(|&at| {
                warm_up.add(piece_ns(at), 100);
                warm_up.is_flat(compiles_late)
            })
            .expect("it gets flat")
    }

    #[test]
    fn level_program_is_warm_after_two_pieces() {
        assert_eq!(flat_after(false, |_| 1_000_000), 2);
    }

    #[test]
    fn program_that_gets_faster_is_warm_when_its_times_are_level() {
        let of = |at: usize| 1_000_000 + 8_000_000 / (1 << at.min(20)) as u64;
        let pieces = flat_after(false, of);
        assert!((6..10).contains(&pieces), "{pieces}");
        let noisy = |at: usize| [1_000_000, 1_300_000, 1_100_000][at % 3];
        assert!(flat_after(false, noisy) <= 4);
    }

    #[test]
    fn late_compiler_is_waited_for_though_its_first_pieces_are_level() {
        let of = |at: usize| if at < 8 { 20_000_000 } else { 2_000_000 };
        assert!(flat_after(false, of) == 2);
        assert!(flat_after(true, of) >= 10, "{}", flat_after(true, of));
    }

    #[test]
    fn languages_that_are_compiled_late_are_known() {
        assert!(compiles_late("Java 21") && compiles_late("javascript"));
        assert!(!compiles_late("rust 1.95.0") && !compiles_late("python 3.12"));
    }
}
