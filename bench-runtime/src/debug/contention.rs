//! The block profile and the mutex profile: samples of waits, and of the unlocks that ended waits.
//!
//! Both are off by default: each park, and each unlock that ends a wait, then only loads [`RATES`].
//! They belong to the process, as locks do. A goroutine whose wait is sampled walks its own stack
//! when it continues.
//!
//! Source: Go's runtime/mprof.go: which waits, and how they are sampled.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::profile::{frames, write_frames};
use crate::goroutine::{Parkable, WaitReason};
use crate::pprof::Sample;
use crate::unwind::{Frame, Symbols, own_calls};
use crate::util::lock::Lock;
use crate::util::rng::Rng;

/// On a cache line of its own, which is written only when a rate is set.
#[repr(align(128))]
struct Rates {
    /// The mean waiting time between two samples, in nanoseconds; 0: none is taken.
    block_ns: AtomicU64,
    mutex: AtomicU32,
}

static RATES: Rates = Rates {
    block_ns: AtomicU64::new(0),
    mutex: AtomicU32::new(0),
};

/// The key is the calls on the stack, the innermost first.
type Samples = Lock<BTreeMap<Vec<u64>, Sum>>;

static BLOCK: Samples = Lock::new(BTreeMap::new());
static MUTEX: Samples = Lock::new(BTreeMap::new());

static DRAWS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sum {
    count: f64,
    delay_ns: f64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.delay_ns += other.delay_ns;
    }
}

/// Starts or ends the profile of waits, as Go's `runtime.SetBlockProfileRate`. Every wait of at
/// least `rate` is sampled. Of the shorter ones, one is sampled for each `rate` of waiting time, on
/// average. A rate of 1 ns samples every wait; zero samples none, which is the default.
///
/// Waits for channels, `select!`, all of [`sync`](crate::sync), scopes and joins are counted.
/// Sleeps, network I/O and [`blocking`](crate::blocking) calls are not. A sample takes some
/// microseconds and some KiB of the waiting goroutine's stack. A wait that is not sampled takes two
/// readings of the clock.
///
/// The rate applies to the whole process. Earlier samples are kept.
///
/// # Examples
///
/// ```
/// use bench_runtime::{block_profile, set_block_profile_rate};
/// use std::time::Duration;
///
/// // A wait of 10 µs or longer is sampled, of the shorter ones some.
/// set_block_profile_rate(Duration::from_micros(10));
/// // What is to be looked at runs here.
/// set_block_profile_rate(Duration::ZERO);
/// println!("{}", block_profile());
/// ```
pub fn set_block_profile_rate(rate: Duration) {
    let rate_ns = u64::try_from(rate.as_nanos()).unwrap_or(u64::MAX);
    RATES.block_ns.store(rate_ns, Ordering::Relaxed);
}

/// Starts or ends the profile of contended locks, as Go's `runtime.SetMutexProfileFraction`. On
/// average, one of `fraction` unlocks that end waits is sampled. 1 samples each, 0 none, which is
/// the default.
///
/// The fraction applies to the whole process. Earlier samples are kept.
///
/// # Examples
///
/// ```
/// use bench_runtime::{mutex_profile, set_mutex_profile_fraction};
///
/// // One of five.
/// set_mutex_profile_fraction(5);
/// // What is to be looked at runs here.
/// set_mutex_profile_fraction(0);
/// println!("{}", mutex_profile());
/// ```
pub fn set_mutex_profile_fraction(fraction: u32) {
    RATES.mutex.store(fraction, Ordering::Relaxed);
}

/// Waits, or unlocks that ended waits, with equal calls on their stacks.
///
/// # Examples
///
/// ```
/// for stack in bench_runtime::block_profile().stacks {
///     let place = stack.frames.first().map_or("?", |frame| &frame.function);
///     println!("{} waits, {:?} in all, at {place}", stack.count, stack.delay);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContendedStack {
    /// The number of waits, or of unlocks that ended waits; estimated from the samples.
    pub count: u64,
    /// The total time of the waits; estimated from the samples.
    pub delay: Duration,
    /// The calls, the innermost first. Of the runtime, only the function that the program called.
    pub frames: Vec<Frame>,
}

/// Where goroutines waited, or where unlocks ended waits.
///
/// # Examples
///
/// ```
/// let profile: bench_runtime::ContentionProfile = bench_runtime::mutex_profile();
/// // Off by default.
/// assert!(profile.stacks.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContentionProfile {
    /// The stacks, the one with the longest delay first.
    pub stacks: Vec<ContendedStack>,
}

fn copy_of(samples: &Samples) -> BTreeMap<Vec<u64>, Sum> {
    // One copy at a time: the map is empty while it is copied.
    static COPYING: Lock<()> = Lock::new(());
    let _alone = COPYING.lock();
    let taken = std::mem::take(&mut *samples.lock());
    let copy = taken.clone();
    let mut samples = samples.lock();
    let taken_meanwhile = std::mem::replace(&mut *samples, taken);
    for (calls, sum) in taken_meanwhile {
        samples.entry(calls).or_default().add(sum);
    }
    copy
}

impl ContentionProfile {
    pub(crate) fn of_waits() -> Self {
        Self::read(&BLOCK)
    }

    pub(crate) fn of_unlocks() -> Self {
        Self::read(&MUTEX)
    }

    fn read(samples: &Samples) -> Self {
        let samples = copy_of(samples);
        let mut merged: HashMap<Vec<Frame>, Sum> = HashMap::new();
        let mut symbols = Symbols::default();
        for (calls, sum) in samples {
            let sums = merged.entry(frames(&calls, &mut symbols)).or_default();
            sums.add(sum);
        }
        let stack = |(frames, sum): (_, Sum)| ContendedStack {
            count: sum.count.round() as u64,
            delay: Duration::from_nanos(sum.delay_ns.round() as u64),
            frames,
        };
        let mut stacks: Vec<_> = merged.into_iter().map(stack).collect();
        stacks.sort_by_cached_key(|stack| {
            let calls: Vec<u64> = stack.frames.iter().map(|frame| frame.address).collect();
            (std::cmp::Reverse((stack.delay, stack.count)), calls)
        });
        Self { stacks }
    }

    /// Writes the profile in pprof's format, uncompressed: `go tool pprof FILE`
    /// opens it. As in Go, each sample has the values `contentions` and `delay`.
    ///
    /// # Errors
    ///
    /// The errors of the writer.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut file = Vec::new();
    /// bench_runtime::mutex_profile().write_pprof(&mut file)?;
    /// assert!(!file.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_pprof(&self, out: impl std::io::Write) -> std::io::Result<()> {
        let samples = self.stacks.iter().map(|stack| {
            let delay_ns = i64::try_from(stack.delay.as_nanos()).unwrap_or(i64::MAX);
            Sample {
                frames: &stack.frames,
                values: vec![stack.count.cast_signed(), delay_ns],
                labels: vec![],
            }
        });
        let types = [("contentions", "count"), ("delay", "nanoseconds")];
        crate::pprof::write(out, &types, samples)
    }
}

impl fmt::Display for ContentionProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stack in &self.stacks {
            let plural = if stack.count == 1 { "" } else { "s" };
            writeln!(f, "{} contention{plural}, {:?}:", stack.count, stack.delay)?;
            write_frames(f, &stack.frames)?;
        }
        Ok(())
    }
}

#[inline(always)]
pub(crate) fn times_waits() -> bool {
    RATES.block_ns.load(Ordering::Relaxed) != 0
}

/// Calls `wait`, and takes a sample of it if one is due. Not inlined, so that a wait costs one load
/// while profiling is off.
#[cold]
#[inline(never)]
pub(crate) fn timed(me: Parkable, now_ns: impl Fn() -> u64, wait: impl FnOnce()) {
    match WaitReason::from_u8(me.head().reason.load(Ordering::Relaxed)) {
        WaitReason::None
        | WaitReason::Sleep
        | WaitReason::Io
        | WaitReason::Blocking
        | WaitReason::Suspend => return wait(),
        _ => {}
    }
    let begin_ns = now_ns();
    wait();
    let waited_ns = now_ns().saturating_sub(begin_ns);
    if let Some(sum) = sample_of(waited_ns, RATES.block_ns.load(Ordering::Relaxed)) {
        record(&BLOCK, sum);
    }
}

/// The estimate that a wait adds; `None` if the wait is not sampled. A wait shorter than `rate_ns`
/// is sampled with probability `waited_ns / rate_ns`.
fn sample_of(waited_ns: u64, rate_ns: u64) -> Option<Sum> {
    // A coarse clock may read 0 for a short wait.
    let waited_ns = waited_ns.max(1);
    let drawn_ns = || (u128::from(draw()) * u128::from(rate_ns)) >> 32;
    if rate_ns == 0 || waited_ns < rate_ns && drawn_ns() >= u128::from(waited_ns) {
        return None;
    }
    let (waited, stands_for) = (waited_ns as f64, waited_ns.max(rate_ns) as f64);
    Some(Sum {
        count: stands_for / waited,
        delay_ns: stands_for,
    })
}

fn draw() -> u32 {
    Rng::new(DRAWS.fetch_add(1, Ordering::Relaxed)).next_u32()
}

#[inline(never)]
fn record(samples: &Samples, sum: Sum) {
    let calls = own_calls();
    samples.lock().entry(calls).or_default().add(sum);
}

/// The time at which a wait began, as the waiter of a lock holds it.
#[inline]
pub(crate) fn since(now_ns: u64) -> *mut () {
    ptr::without_provenance_mut(now_ns as usize)
}

/// As [`since`], for a wait that begins now; null while the mutex profile is off.
#[inline]
pub(crate) fn since_now(now_ns: impl FnOnce() -> u64) -> *mut () {
    match RATES.mutex.load(Ordering::Relaxed) {
        0 => ptr::null_mut(),
        _ => since(now_ns()),
    }
}

#[must_use = "they are recorded once the lock is free"]
pub(crate) struct EndedWaits {
    /// 0 while the mutex profile is off.
    now_ns: u64,
    waited_ns: u64,
}

impl EndedWaits {
    #[inline]
    pub(crate) fn begin(now_ns: impl FnOnce() -> u64) -> Self {
        let is_on = RATES.mutex.load(Ordering::Relaxed) != 0;
        Self {
            now_ns: if is_on { now_ns() } else { 0 },
            waited_ns: 0,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, since: *mut ()) {
        if self.now_ns != 0 && !since.is_null() {
            let waited_ns = self.now_ns.saturating_sub(since.addr() as u64);
            self.waited_ns += waited_ns.max(1);
        }
    }

    /// Takes a sample if one is due. To be called after the waiters are readied.
    #[inline]
    pub(crate) fn record(self) {
        if self.waited_ns != 0 {
            unlock_ended(self.waited_ns);
        }
    }
}

#[cold]
fn unlock_ended(waited_ns: u64) {
    let fraction = RATES.mutex.load(Ordering::Relaxed);
    let is_sampled = fraction != 0 && (u64::from(draw()) * u64::from(fraction)) >> 32 == 0;
    if is_sampled {
        let stands_for = f64::from(fraction);
        record(
            &MUTEX,
            Sum {
                count: stands_for,
                delay_ns: stands_for * waited_ns as f64,
            },
        );
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_for_the_waits_that_were_not_sampled() {
        let (waits, waited_ns, rate_ns) = (if cfg!(miri) { 2_000 } else { 100_000 }, 700, 10_000);
        let mut sum = Sum::default();
        let mut samples = 0;
        for _ in 0..waits {
            if let Some(sample) = sample_of(waited_ns, rate_ns) {
                samples += 1;
                sum.add(sample);
            }
        }
        // 7% of the waits, to four standard deviations. No other test uses these seeds.
        let expected = f64::from(waits) * 0.07;
        let off = 4.0 * (expected * 0.93).sqrt();
        assert!((f64::from(samples) - expected).abs() < off, "{samples}");
        let each = sum.delay_ns / sum.count;
        assert!((each - 700.0).abs() < 0.01, "{each}");
        assert!((sum.count * 0.07 - f64::from(samples)).abs() < 0.01);
    }

    #[test]
    fn wait_of_at_least_the_rate_is_sampled_with_weight_one() {
        for waited_ns in [10_000, 10_001, 1 << 50] {
            let sum = sample_of(waited_ns, 10_000).unwrap();
            assert_eq!((sum.count, sum.delay_ns), (1.0, waited_ns as f64));
        }
        assert_eq!(sample_of(1 << 50, 0), None);
        assert_eq!(sample_of(0, 1).unwrap().count, 1.0);
    }
}
