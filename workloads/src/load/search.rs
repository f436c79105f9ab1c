//! The search for the highest rate that a service can carry. `reports/METHOD.md` has the rules.
//!
//! A try offers one rate for some time. It *holds* if enough answers are in time. The *balance* of
//! a rate is the number of tries that held at this rate or above, minus the number that failed at
//! this rate or below. The answer is the highest rate whose balance is not negative.

use anyhow::ensure;

/// Any host can carry the first rate.
const FIRST_PER_S: u64 = 200;
/// No host can carry this rate.
const MOST_PER_S: u64 = 1 << 24;
const STEP: f64 = 1.03;
/// The most steps at once: 1.27 times the rate.
const MOST_STEPS: u32 = 8;
/// After more repeats of an outcome than this, the answer is not near and the steps grow.
const PATIENCE: u32 = 2;
const MOST_TRIES: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    Held,
    Failed,
    /// The rate was far too high. The service answered this many requests a second.
    Answered(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Short,
    Whole,
}

pub(super) trait Service {
    fn carry(&mut self, rate: u64, length: Length) -> anyhow::Result<Tried>;
    /// Waits until the service has finished the requests of a failed try. `light` is a rate that it
    /// can probably carry.
    fn settle(&mut self, light: u64) -> anyhow::Result<()>;
    /// Offers a rate that the service can carry and ignores the outcome: just-in-time compilers
    /// need it.
    fn warm_up(&mut self, rate: u64) -> anyhow::Result<()>;
    fn is_over(&self) -> bool;
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) highest: u64,
    /// The next higher tried rate over `highest`; 4 if there is none.
    pub(super) gap: f64,
}

/// The highest rate that `service` can carry; `None` if it can carry none.
pub(super) fn search(service: &mut impl Service) -> anyhow::Result<Option<Found>> {
    let mut search = Search {
        service,
        low: 0,
        high: None,
        tries: Vec::new(),
    };
    search.run()?;
    Ok(search.found())
}

struct Search<'a, S> {
    service: &'a mut S,
    /// The highest rate that held in a short try, or 0. `high` is the rate that then failed.
    low: u64,
    high: Option<u64>,
    /// Rates, and whether they held.
    tries: Vec<(u64, bool)>,
}

impl<S: Service> Search<'_, S> {
    fn run(&mut self) -> anyhow::Result<()> {
        let mut rate = FIRST_PER_S;
        loop {
            let mut tried = self.try_rate(rate, Length::Short)?;
            if tried == Tried::Failed && !self.service.is_over() {
                tried = self.try_rate(rate, Length::Short)?;
            }
            let start = match tried {
                Tried::Held => {
                    (self.low, rate) = (rate, rate * 4);
                    ensure!(rate < MOST_PER_S, "no rate is too high for the service");
                    if self.service.is_over() {
                        return Ok(());
                    }
                    continue;
                }
                Tried::Answered(answered) => below(rate, rate - 1, answered),
                Tried::Failed if self.low == 0 => rate / 2,
                Tried::Failed => (self.low as f64 * rate as f64).sqrt() as u64,
            };
            self.high = Some(rate);
            if !self.service.is_over() {
                let carried = if self.low > 0 { self.low } else { start };
                self.service.warm_up((carried / 2).max(1))?;
            }
            return self.climb(start);
        }
    }

    fn climb(&mut self, mut rate: u64) -> anyhow::Result<()> {
        // Whether the last try held, how many tries before it in a row had the same outcome, and
        // whether all tries had that outcome.
        let (mut last, mut repeats, mut all_same) = (None, 0_u32, true);
        while self.tries.len() < MOST_TRIES && !self.service.is_over() {
            let tried = self.try_rate(rate, Length::Whole)?;
            let held = tried == Tried::Held;
            self.tries.push((rate, held));
            all_same &= last.is_none_or(|last| last == held);
            repeats = if last == Some(held) { repeats + 1 } else { 0 };
            last = Some(held);
            let doublings = if all_same {
                repeats
            } else {
                repeats.saturating_sub(PATIENCE)
            };
            let factor = STEP.powi((1 << doublings.min(4)).min(MOST_STEPS) as i32);
            let up = ((rate as f64 * factor).round() as u64).max(rate + 1);
            let down = ((rate as f64 / factor).round() as u64).min(rate - 1).max(1);
            rate = match tried {
                Tried::Held => up.min(MOST_PER_S),
                Tried::Answered(answered) if all_same => below(rate, down, answered),
                Tried::Failed | Tried::Answered(_) => down,
            };
        }
        Ok(())
    }

    fn try_rate(&mut self, rate: u64, length: Length) -> anyhow::Result<Tried> {
        let tried = self.service.carry(rate, length)?;
        if tried != Tried::Held {
            let carried = self
                .found()
                .map_or(rate / 2, |found| found.highest.min(rate));
            self.service.settle((carried / 2).max(1))?;
        }
        Ok(tried)
    }

    /// The answer of the whole tries. If they give none: the highest rate that held in a short try,
    /// or, if a whole try failed at or below it, a quarter of the lowest rate of a whole try.
    fn found(&self) -> Option<Found> {
        found(&self.tries, self.high).or_else(|| {
            let lowest = self.tries.iter().map(|&(rate, _)| rate).min();
            let next = lowest.or(self.high).unwrap_or(self.low * 4);
            let highest = match next > self.low {
                true => self.low,
                false => next / 4,
            };
            (highest > 0).then(|| Found {
                highest,
                gap: next as f64 / highest as f64,
            })
        })
    }
}

/// The next rate after `rate`, which was far too high. It is at least an eighth of `rate`, because
/// a service that broke down may answer almost nothing.
fn below(rate: u64, down: u64, answered: u64) -> u64 {
    answered.max(rate / 8).min(down).max(1)
}

/// See the top of this file.
fn balance(tries: &[(u64, bool)], rate: u64) -> i64 {
    let counts = tries.iter().map(|&(tried, held)| match held {
        true => i64::from(tried >= rate),
        false => -i64::from(tried <= rate),
    });
    counts.sum()
}

/// `high` is a rate that failed.
fn found(tries: &[(u64, bool)], high: Option<u64>) -> Option<Found> {
    let rates = || tries.iter().map(|&(rate, _)| rate);
    let highest = rates().filter(|&rate| balance(tries, rate) >= 0).max()?;
    let above = rates().chain(high).filter(|&rate| rate > highest);
    let next = above.min().unwrap_or(highest * 4);
    Some(Found {
        highest,
        gap: next as f64 / highest as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Carries all rates up to `bearable`, and has time for `left` tries.
    struct Exact {
        bearable: u64,
        left: u64,
        /// Whether it returns the answered rate if a rate is far too high.
        returns_rate: bool,
        /// The rate of each warm-up, and how many tries were before it.
        warmed: Vec<(u64, u64)>,
        tries: u64,
    }

    impl Exact {
        fn new(bearable: u64) -> Self {
            Self {
                bearable,
                left: u64::MAX,
                returns_rate: true,
                warmed: Vec::new(),
                tries: 0,
            }
        }
    }

    impl Service for Exact {
        fn carry(&mut self, rate: u64, _length: Length) -> anyhow::Result<Tried> {
            self.left = self.left.saturating_sub(1);
            self.tries += 1;
            Ok(match rate <= self.bearable {
                true => Tried::Held,
                false if self.returns_rate && self.bearable * 10 < rate * 9 => {
                    Tried::Answered(self.bearable)
                }
                false => Tried::Failed,
            })
        }

        fn settle(&mut self, _light: u64) -> anyhow::Result<()> {
            Ok(())
        }

        fn warm_up(&mut self, rate: u64) -> anyhow::Result<()> {
            self.warmed.push((rate, self.tries));
            Ok(())
        }

        fn is_over(&self) -> bool {
            self.left == 0
        }
    }

    #[test]
    fn service_is_warmed_up_once_between_the_short_and_the_whole_tries() {
        let warmed = |bearable, left| {
            let mut service = Exact {
                left,
                ..Exact::new(bearable)
            };
            search(&mut service).unwrap();
            service.warmed
        };
        // The warm-up is at half of 3,200. The fourth try, before it, was of 12,800.
        assert_eq!(warmed(4_000, 20), [(1_600, 4)]);
        // The warm-up is at half of the answered rate.
        assert_eq!(warmed(30, 20), [(15, 1)]);
        assert!(warmed(4_000, 4).is_empty());
    }

    #[test]
    fn the_highest_rate_is_found_within_a_step_from_below() {
        for returns_rate in [true, false] {
            for bearable in [1, 2, 7, 150, 200, 201, 3_999, 123_456] {
                let mut service = Exact {
                    returns_rate,
                    left: 40,
                    ..Exact::new(bearable)
                };
                let Found { highest, gap } = search(&mut service).unwrap().unwrap();
                assert!(highest <= bearable, "{highest} of {bearable}");
                let next = (highest as f64 * gap).round() as u64;
                assert!(next > bearable, "{highest} of {bearable}: {gap}");
                let most = (highest as f64 * STEP).round().max(highest as f64 + 1.0);
                assert!(next as f64 <= most, "{highest} of {bearable}: {gap}");
            }
        }
    }

    #[test]
    fn a_missing_rate_is_reported_and_an_infinite_one_is_refused() {
        assert_eq!(search(&mut Exact::new(0)).unwrap(), None);
        let silent = &mut Exact {
            returns_rate: false,
            ..Exact::new(0)
        };
        assert_eq!(search(silent).unwrap(), None);
        assert!(search(&mut Exact::new(u64::MAX / 10)).is_err());
    }

    #[test]
    fn search_that_runs_out_of_time_returns_the_highest_rate_so_far() {
        let after = |bearable, left| {
            search(&mut Exact {
                left,
                ..Exact::new(bearable)
            })
            .unwrap()
        };
        let found = |highest, gap| Some(Found { highest, gap });
        assert_eq!(after(4_000, 0), found(200, 4.0));
        assert_eq!(after(30, 0), None);
        assert_eq!(after(4_000, 2), found(800, 4.0));
        // 12,800 was far too high, and 4,000 was answered.
        assert_eq!(after(4_000, 4), found(3_200, 4.0));
        assert_eq!(after(4_000, 5), found(4_000, 3.2));
        assert_eq!(after(4_000, 6), found(4_000, 1.03));
        assert_eq!(after(30, 1), None);
        assert_eq!(after(30, 2).unwrap().highest, 30);
    }

    /// Carries all rates up to `short` in a short try, and none in a whole try.
    struct HoldsShortTries {
        short: u64,
        left: u64,
    }

    impl Service for HoldsShortTries {
        fn carry(&mut self, rate: u64, length: Length) -> anyhow::Result<Tried> {
            self.left -= 1;
            Ok(match length {
                Length::Short if rate <= self.short => Tried::Held,
                _ => Tried::Answered(rate / 2),
            })
        }

        fn settle(&mut self, _light: u64) -> anyhow::Result<()> {
            Ok(())
        }

        fn warm_up(&mut self, _rate: u64) -> anyhow::Result<()> {
            Ok(())
        }

        fn is_over(&self) -> bool {
            self.left == 0
        }
    }

    #[test]
    fn short_tries_give_the_answer_if_all_whole_tries_failed() {
        let after = |left| search(&mut HoldsShortTries { short: 900, left }).unwrap();
        let found = |highest, gap| Some(Found { highest, gap });
        // 200 and 800 held, and 3,200 did not; then half of 3,200 failed.
        assert_eq!(after(4), found(800, 2.0));
        assert_eq!(after(5), found(200, 4.0));
        assert_eq!(after(6), found(100, 4.0));
        // A rate below 4 failed, whose quarter is 0.
        assert_eq!(after(40), None);
    }

    #[test]
    fn one_try_against_all_others_does_not_move_the_answer() {
        let mut tries = vec![
            (800, true),
            (1_000, true),
            (1_025, false),
            (1_000, true),
            (1_025, false),
        ];
        assert_eq!(found(&tries, None).unwrap().highest, 1_000);
        tries.push((800, false));
        assert_eq!(found(&tries, None).unwrap().highest, 1_000);
        tries.push((1_200, true));
        assert_eq!(found(&tries, None).unwrap().highest, 1_000);
    }

    /// A simulated server with one queue. A try leaves its queue to the next.
    struct Queue {
        capacity: f64,
        /// How long a request that arrives now would wait.
        wait_s: f64,
        left_s: f64,
        settles: bool,
    }

    const TRY_S: f64 = 0.5;
    const LIMIT_S: f64 = 0.02;

    impl Queue {
        fn bearable(&self) -> f64 {
            self.capacity * (1.0 + LIMIT_S / (0.99 * TRY_S))
        }

        /// Returns the share of requests that wait longer than the limit.
        fn offer(&mut self, rate: f64, time_s: f64) -> f64 {
            const SLICES: u32 = 200;
            self.left_s -= time_s;
            let mut late = 0;
            for _ in 0..SLICES {
                late += u32::from(self.wait_s > LIMIT_S);
                let more = (rate / self.capacity - 1.0) * time_s / f64::from(SLICES);
                self.wait_s = (self.wait_s + more).max(0.0);
            }
            f64::from(late) / f64::from(SLICES)
        }
    }

    impl Service for Queue {
        fn carry(&mut self, rate: u64, length: Length) -> anyhow::Result<Tried> {
            let time_s = match length {
                Length::Short => TRY_S / 4.0,
                Length::Whole => TRY_S,
            };
            // Requests not begun by the end of the limit are given up.
            let answered = self.capacity * (time_s + LIMIT_S - self.wait_s).max(0.0);
            let late = self.offer(rate as f64, time_s);
            Ok(match late <= 0.01 {
                true => Tried::Held,
                false if answered < 0.9 * rate as f64 * time_s => {
                    Tried::Answered((answered / (time_s + LIMIT_S)) as u64)
                }
                false => Tried::Failed,
            })
        }

        fn settle(&mut self, light: u64) -> anyhow::Result<()> {
            let until = self.left_s - 4.0 * TRY_S;
            while self.settles && self.left_s > until {
                if self.offer(light as f64, TRY_S / 4.0) == 0.0 {
                    break;
                }
            }
            Ok(())
        }

        fn warm_up(&mut self, _rate: u64) -> anyhow::Result<()> {
            Ok(())
        }

        fn is_over(&self) -> bool {
            self.left_s <= 0.0
        }
    }

    #[test]
    fn queue_left_by_a_failed_try_does_not_spoil_the_next() {
        let found_by = |settles| {
            let mut queue = Queue {
                capacity: 5_000.0,
                wait_s: 0.0,
                left_s: 9.5,
                settles,
            };
            let found = search(&mut queue).unwrap().unwrap();
            found.highest as f64 / queue.bearable()
        };
        let (settled, hurried) = (found_by(true), found_by(false));
        assert!((0.95..=1.01).contains(&settled), "{settled}");
        assert!(
            hurried < 0.9,
            "{hurried}: this queue does not need the wait"
        );
    }
}
