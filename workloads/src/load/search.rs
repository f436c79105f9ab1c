//! The search for the highest rate that a service can carry.
//!
//! One try says little: the host may be busy for a moment, and near the highest rate
//! chance decides. So no single try decides the answer:
//!
//! 1. Each rate is four times the one before, from one that any host can carry, until one
//!    is far too much or has failed twice.
//! 2. From what the service answered then: a step up after a try that held, a step down
//!    after one that failed (Dixon and Mood, 1948), until the answer is confirmed: there
//!    are two rates within [`CLOSE`] of which the [`balance`] is two or more, and minus
//!    two or less.
//!
//! The balance of a rate is by how many more tries held at it and above than failed at
//! it and below. The answer is the highest rate whose balance is not below zero. After
//! each try that failed the service gets the time to [`settle`](Service::settle), so that
//! what is left of it is not charged to the next.

use anyhow::ensure;

/// The rate that is tried first: any host can carry it.
const FIRST_PER_S: u64 = 200;
/// No host can carry it.
const MOST_PER_S: u64 = 1 << 24;
/// How close the answer and the next rate must be.
const CLOSE: f64 = 1.05;
/// A step up or down.
const STEP: f64 = 1.02;
/// By how many tries both must be confirmed.
const SURE: i64 = 2;
/// No search needs more tries.
const MOST_TRIES: usize = 60;

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    Held,
    Failed,
    /// It was far too much: the service answered this many a second instead.
    Answered(u64),
}

/// A service under tries.
pub(super) trait Service {
    /// Offers this rate for the time of a try.
    fn carry(&mut self, rate: u64) -> anyhow::Result<Tried>;
    /// Waits until nothing is left of a try that failed: `light` is a rate that it
    /// can carry by far, as far as is known.
    fn settle(&mut self, light: u64) -> anyhow::Result<()>;
    /// Whether the time of the search is over.
    fn is_over(&self) -> bool;
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// The highest rate that held.
    pub(super) highest: u64,
    /// The lowest rate that did not hold, or that was not tried for lack of
    /// time, over that.
    pub(super) gap: f64,
}

/// The highest rate that `service` can carry; `None` for none. Tries no further rate once
/// the time is over.
///
/// # Errors
///
/// What a try returns, and when no rate is too high.
pub(super) fn search(service: &mut impl Service) -> anyhow::Result<Option<Found>> {
    let mut search = Search {
        service,
        tries: Vec::new(),
    };
    search.run()?;
    Ok(found(&search.tries))
}

struct Search<'a, S> {
    service: &'a mut S,
    /// Rates, and whether they held.
    tries: Vec<(u64, bool)>,
}

impl<S: Service> Search<'_, S> {
    fn run(&mut self) -> anyhow::Result<()> {
        let (mut low, mut rate) = (0, FIRST_PER_S);
        loop {
            let mut tried = self.once(rate)?;
            if tried == Tried::Failed && !self.service.is_over() {
                tried = self.once(rate)?;
            }
            let start = match tried {
                Tried::Held => {
                    (low, rate) = (rate, rate * 4);
                    ensure!(rate < MOST_PER_S, "no rate is too high for the service");
                    if self.service.is_over() {
                        return Ok(());
                    }
                    continue;
                }
                Tried::Answered(answered) => below(rate, rate - 1, answered).max(low),
                Tried::Failed if low == 0 => rate / 2,
                Tried::Failed => (low as f64 * rate as f64).sqrt() as u64,
            };
            return self.climb(start);
        }
    }

    /// Goes up and down from `rate` until the answer is confirmed.
    fn climb(&mut self, mut rate: u64) -> anyhow::Result<()> {
        // Whether the last try held, and how many before it in a row ended as it did.
        let (mut last, mut same) = (None, 0_u32);
        while !self.is_sure() && self.tries.len() < MOST_TRIES && !self.service.is_over() {
            let tried = self.once(rate)?;
            let held = tried == Tried::Held;
            same = if last == Some(held) { same + 1 } else { 0 };
            last = Some(held);
            // From the second of a row on twice as far, and so on: it is not near.
            let far = STEP.powi(1 << same.min(4));
            let up = ((rate as f64 * far).round() as u64).max(rate + 1);
            let down = ((rate as f64 / far).round() as u64).min(rate - 1).max(1);
            rate = match tried {
                Tried::Held => up.min(MOST_PER_S),
                Tried::Failed => down,
                Tried::Answered(answered) => below(rate, down, answered),
            };
        }
        Ok(())
    }

    fn once(&mut self, rate: u64) -> anyhow::Result<Tried> {
        let tried = self.service.carry(rate)?;
        self.tries.push((rate, tried == Tried::Held));
        if tried != Tried::Held {
            let carried = found(&self.tries).map_or(rate / 2, |found| found.highest.min(rate));
            self.service.settle((carried / 2).max(1))?;
        }
        Ok(tried)
    }

    fn is_sure(&self) -> bool {
        let tries = &self.tries;
        let rates = || tries.iter().map(|&(rate, _)| rate);
        let held = rates().filter(|&rate| balance(tries, rate) >= SURE).max();
        let failed = rates().filter(|&rate| balance(tries, rate) <= -SURE).min();
        let is_close =
            |(held, failed): (u64, u64)| failed as f64 <= held as f64 * CLOSE || failed == held + 1;
        // Below one a second there is nothing to try.
        failed == Some(1) || held.zip(failed).is_some_and(is_close)
    }
}

/// The next rate after one that was far too much: what was answered, but no more than
/// `down`, and not so little as a service answers that has broken down.
fn below(rate: u64, down: u64, answered: u64) -> u64 {
    answered.max(rate / 8).min(down).max(1)
}

/// By how many more tries held at this rate and above than failed at it and below.
fn balance(tries: &[(u64, bool)], rate: u64) -> i64 {
    let counts = tries.iter().map(|&(tried, held)| match held {
        true => i64::from(tried >= rate),
        false => -i64::from(tried <= rate),
    });
    counts.sum()
}

/// The answer of these tries.
fn found(tries: &[(u64, bool)]) -> Option<Found> {
    let rates = tries.iter().map(|&(rate, _)| rate);
    let highest = rates.filter(|&rate| balance(tries, rate) >= 0).max()?;
    let rates = tries.iter().map(|&(rate, _)| rate);
    let next = rates.filter(|&rate| rate > highest).min();
    let next = next.unwrap_or(highest * 4);
    Some(Found {
        highest,
        gap: next as f64 / highest as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Can carry all rates up to one; has time for this many tries.
    struct Exact {
        bearable: u64,
        left: u64,
        /// Whether it says what it answered of a rate that was far too much.
        tells: bool,
    }

    impl Exact {
        fn new(bearable: u64) -> Self {
            Self {
                bearable,
                left: u64::MAX,
                tells: true,
            }
        }
    }

    impl Service for Exact {
        fn carry(&mut self, rate: u64) -> anyhow::Result<Tried> {
            self.left = self.left.saturating_sub(1);
            Ok(match rate <= self.bearable {
                true => Tried::Held,
                false if self.tells && self.bearable * 10 < rate * 9 => {
                    Tried::Answered(self.bearable)
                }
                false => Tried::Failed,
            })
        }

        fn settle(&mut self, _light: u64) -> anyhow::Result<()> {
            Ok(())
        }

        fn is_over(&self) -> bool {
            self.left == 0
        }
    }

    #[test]
    fn the_highest_rate_is_found_within_a_twentieth_from_below() {
        for tells in [true, false] {
            for bearable in [1, 2, 7, 150, 200, 201, 3_999, 123_456] {
                let mut service = Exact {
                    tells,
                    ..Exact::new(bearable)
                };
                let Found { highest, gap } = search(&mut service).unwrap().unwrap();
                assert!(highest <= bearable, "{highest} of {bearable}");
                let next = (highest as f64 * CLOSE).floor().max(highest as f64 + 1.0);
                assert!(next as u64 > bearable, "{highest} of {bearable}");
                assert!(gap <= CLOSE || bearable < 30, "{gap} at {bearable}");
                let tries = u64::MAX - service.left;
                let most = if tells { 10 } else { 26 };
                assert!(tries <= most, "{tries} for {bearable}");
            }
        }
    }

    #[test]
    fn a_missing_rate_is_reported_and_an_infinite_one_is_refused() {
        assert_eq!(search(&mut Exact::new(0)).unwrap(), None);
        let silent = &mut Exact {
            tells: false,
            ..Exact::new(0)
        };
        assert_eq!(search(silent).unwrap(), None);
        assert!(search(&mut Exact::new(u64::MAX / 10)).is_err());
    }

    #[test]
    fn search_whose_time_is_over_says_how_far_it_came() {
        let after = |bearable, left| {
            search(&mut Exact {
                left,
                ..Exact::new(bearable)
            })
            .unwrap()
        };
        let found = |highest, gap| Some(Found { highest, gap });
        // The first rate is always tried.
        assert_eq!(after(4_000, 0), found(200, 4.0));
        assert_eq!(after(30, 0), None);
        // 200 and 800 held, and 3,200 was not tried.
        assert_eq!(after(4_000, 2), found(800, 4.0));
        // 3,200 held, 12,800 did not; then 4,000, which was answered of it, held.
        assert_eq!(after(4_000, 4), found(3_200, 4.0));
        assert_eq!(after(4_000, 5), found(4_000, 3.2));
        // 200 did not hold, and 30 were answered of it.
        assert_eq!(after(30, 1), None);
        assert_eq!(after(30, 2).unwrap().highest, 30);
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
        assert_eq!(found(&tries).unwrap().highest, 1_000);
        tries.push((800, false));
        assert_eq!(found(&tries).unwrap().highest, 1_000);
        tries.push((1_200, true));
        assert_eq!(found(&tries).unwrap().highest, 1_000);
    }

    /// A server with one queue, by its laws and not by the clock. A try leaves its queue
    /// to the next.
    struct Queue {
        /// Requests a second that it works off.
        capacity: f64,
        /// How long a request that comes now would wait, in seconds.
        wait_s: f64,
        left_s: f64,
        random: u64,
        /// By how much its speed differs from try to try.
        unsteady: f64,
        /// The share of tries in which the host stops it for 40 ms.
        disturbed: f64,
        settles: bool,
    }

    const TRY_S: f64 = 0.5;
    const LIMIT_S: f64 = 0.02;

    impl Queue {
        fn new(seed: u64) -> Self {
            Self {
                capacity: 5_000.0,
                wait_s: 0.0,
                left_s: 9.5,
                random: seed,
                unsteady: 0.0,
                disturbed: 0.0,
                settles: true,
            }
        }

        /// The highest rate whose 99th percentile is within the limit.
        fn bearable(&self) -> f64 {
            self.capacity * (1.0 + LIMIT_S / (0.99 * TRY_S))
        }

        /// From 0 to 1 (SplitMix64).
        fn next(&mut self) -> f64 {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.random;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
        }

        /// Offers a rate for so long; the share of requests that wait beyond the limit.
        fn offer(&mut self, rate: f64, capacity: f64, time_s: f64) -> f64 {
            const SLICES: u32 = 200;
            self.left_s -= time_s;
            let mut late = 0;
            for _ in 0..SLICES {
                late += u32::from(self.wait_s > LIMIT_S);
                let more = (rate / capacity - 1.0) * time_s / f64::from(SLICES);
                self.wait_s = (self.wait_s + more).max(0.0);
            }
            f64::from(late) / f64::from(SLICES)
        }
    }

    impl Service for Queue {
        fn carry(&mut self, rate: u64) -> anyhow::Result<Tried> {
            // The sum of three is near enough to a normal distribution.
            let shift = (self.next() + self.next() + self.next() - 1.5) * 2.0;
            let capacity = self.capacity * (1.0 + self.unsteady * shift);
            if self.next() < self.disturbed {
                self.wait_s += 0.04;
            }
            // What has not been begun by the limit's end is given up.
            let answered = capacity * (TRY_S + LIMIT_S - self.wait_s).max(0.0);
            let late = self.offer(rate as f64, capacity, TRY_S);
            Ok(match late <= 0.01 {
                true => Tried::Held,
                false if answered < 0.9 * rate as f64 * TRY_S => {
                    Tried::Answered((answered / (TRY_S + LIMIT_S)) as u64)
                }
                false => Tried::Failed,
            })
        }

        fn settle(&mut self, light: u64) -> anyhow::Result<()> {
            let until = self.left_s - 4.0 * TRY_S;
            while self.settles && self.left_s > until {
                if self.offer(light as f64, self.capacity, TRY_S / 4.0) == 0.0 {
                    break;
                }
            }
            Ok(())
        }

        fn is_over(&self) -> bool {
            self.left_s <= 0.0
        }
    }

    #[test]
    fn queue_that_a_failed_try_leaves_is_not_charged_to_the_next() {
        let found_by = |settles| {
            let mut queue = Queue::new(1);
            queue.settles = settles;
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

    #[test]
    fn answers_lie_within_a_twentieth_though_the_host_disturbs_one_try_in_ten() {
        let mut answers: Vec<f64> = (0..300)
            .map(|seed| {
                let mut queue = Queue::new(seed);
                (queue.unsteady, queue.disturbed) = (0.02, 0.1);
                let found = search(&mut queue).unwrap().unwrap();
                found.highest as f64 / queue.bearable()
            })
            .collect();
        // A run's figure is the median of five.
        let mut runs: Vec<f64> = answers
            .chunks_exact_mut(5)
            .map(|five| {
                five.sort_by(f64::total_cmp);
                five[2]
            })
            .collect();
        for all in [&mut answers, &mut runs] {
            all.sort_by(f64::total_cmp);
        }
        // 95% of the searches, and all runs.
        let [low, high] = [answers[7], answers[292]];
        assert!(0.9 < low && high < 1.05, "{low} to {high}");
        let [low, high] = [runs[0], runs[59]];
        assert!(0.95 < low && high / low < 1.05, "{low} to {high}");
    }
}
