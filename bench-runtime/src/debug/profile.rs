//! The state of every goroutine, with its frames: equal stacks are one group.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::info::{GoroutineInfo, write_tags};
use super::inspect::{BATCH, Inspection, MOST_BYTES};
use crate::goroutine::Goroutine;
use crate::pprof::Sample;
use crate::unwind::{Frame, Symbols, Unwinder};

/// How often a waiting goroutine is inspected if its stack could not be copied, because it was just
/// parking or ran. The batches have 256, 64, 16, 4 and 1 goroutines: a smaller one is read faster.
const TRIES: u32 = 5;
/// A goroutine that the sweep has claimed is inspected more often than [`TRIES`] times, until this
/// time has passed. Chosen, not measured.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(1);
/// The most goroutines that one text names. Chosen, not measured.
pub(crate) const NAMED: usize = 8;

/// Goroutines in the same state, with the same calls on their stacks.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, goroutine_profile};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     for group in goroutine_profile().groups {
///         println!("{} goroutines are {}", group.goroutines.len(), group.state);
///     }
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackGroup {
    /// Their state or wait, in Go's words.
    pub state: String,
    /// The goroutines.
    pub goroutines: Vec<GoroutineInfo>,
    /// The shortest and the longest time for which the runtime has seen them parked here; each may
    /// have waited longer. Zero for goroutines that the runtime has not seen parked: it looks about
    /// once a second.
    pub parked_for: Range<Duration>,
    /// The calls, the innermost first. Of the runtime, only the function that the program called.
    /// Empty for goroutines that do not wait, and for those whose stacks could not be read.
    pub frames: Vec<Frame>,
}

type Tags<'a> = (Option<&'a str>, &'a [(String, String)]);

impl StackGroup {
    fn by_tags(&self) -> BTreeMap<Tags<'_>, i64> {
        let mut counts = BTreeMap::new();
        for info in &self.goroutines {
            let tags = (info.name.as_deref(), info.labels.as_slice());
            *counts.entry(tags).or_default() += 1;
        }
        counts
    }
}

/// The state of every goroutine: see [`goroutine_profile`](crate::goroutine_profile).
///
/// Its [`Display`](fmt::Display) is text, as Go's goroutine profile at `debug=1`.
///
/// # Examples
///
/// ```
/// use bench_runtime::{GoroutineProfile, Runtime, goroutine_profile};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let profile: GoroutineProfile = unsafe { Runtime::builder().build() }?.run(goroutine_profile);
/// print!("{profile}");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GoroutineProfile {
    /// The groups, the largest first.
    pub groups: Vec<StackGroup>,
}

impl GoroutineProfile {
    /// Writes the profile in pprof's format, uncompressed: `go tool pprof FILE` opens it. Each
    /// sample is the number of goroutines with one combination of group, name and labels. The name
    /// is a label with the key `name`.
    ///
    /// # Errors
    ///
    /// The errors of the writer.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, goroutine_profile};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let profile = unsafe { Runtime::builder().build() }?.run(goroutine_profile);
    /// let mut file = Vec::new();
    /// profile.write_pprof(&mut file)?;
    /// assert!(!file.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_pprof(&self, out: impl std::io::Write) -> std::io::Result<()> {
        let by_tags: Vec<_> = self
            .groups
            .iter()
            .flat_map(|group| group.by_tags().into_iter().map(move |part| (group, part)))
            .collect();
        let samples = by_tags.iter().map(|(group, ((name, labels), count))| {
            let labels = labels.iter().map(|(key, value)| (&**key, &**value));
            Sample {
                frames: &group.frames,
                values: vec![*count],
                labels: name
                    .iter()
                    .map(|name| ("name", *name))
                    .chain(labels)
                    .collect(),
            }
        });
        crate::pprof::write(out, &[("goroutine", "count")], samples)
    }
}

impl fmt::Display for GoroutineProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.groups {
            let count = group.goroutines.len();
            let plural = if count == 1 { "" } else { "s" };
            write!(f, "{count} goroutine{plural} [{}]", group.state)?;
            let Range { start, end } = group.parked_for;
            match (start.as_secs(), end.as_secs()) {
                (_, 0) => {}
                (least, most) if least == most => write!(f, ", for {least} s or longer")?,
                (least, most) => write!(f, ", for {least} to {most} s or longer")?,
            }
            f.write_str(":")?;
            for info in group.goroutines.iter().take(NAMED) {
                write!(f, " {}", info.id)?;
            }
            writeln!(f, "{}", if count > NAMED { " …" } else { "" })?;
            for ((name, labels), count) in group.by_tags() {
                if name.is_some() || !labels.is_empty() {
                    write!(f, "  {count} with")?;
                    write_tags(f, name, labels)?;
                    f.write_str("\n")?;
                }
            }
            write_frames(f, &group.frames)?;
        }
        Ok(())
    }
}

pub(crate) fn write_frames(f: &mut fmt::Formatter<'_>, frames: &[Frame]) -> fmt::Result {
    for frame in frames {
        writeln!(f, "    {}", frame.function)?;
        if let Some(file) = &frame.file {
            match frame.line {
                Some(line) => writeln!(f, "        {file}:{line}")?,
                None => writeln!(f, "        {file}")?,
            }
        }
    }
    f.write_str("\n")
}

type Member = (GoroutineInfo, Duration);

pub(crate) fn of(mut all: Vec<&'static Goroutine>) -> GoroutineProfile {
    let mut inspection = Inspection::default();
    let mut unwinder = Unwinder::new();
    let mut groups: HashMap<(String, Vec<u64>), Vec<Member>> = HashMap::new();
    let begun = Instant::now();
    for tries in 1_u32.. {
        let mut retry = Vec::new();
        let batch = BATCH.checked_shr(2 * (tries - 1)).unwrap_or(0).max(1);
        inspection.inspect_all(&all, batch, MOST_BYTES, |seen| {
            let Some(info) = GoroutineInfo::of(&seen) else {
                return;
            };
            let may_retry = || tries < TRIES || seen.is_claimed && begun.elapsed() < CLAIM_TIMEOUT;
            let (calls, age) = match seen.stack {
                Some(stack) => (unwinder.calls(stack.saved, stack.bytes), stack.age),
                None if info.waits && may_retry() => return retry.push(seen.g),
                None => Default::default(),
            };
            let group = groups.entry((info.state.clone(), calls)).or_default();
            group.push((info, age));
        });
        if retry.is_empty() {
            break;
        }
        all = retry;
        std::thread::yield_now();
    }
    let mut symbols = Symbols::default();
    let mut merged: HashMap<(String, Vec<Frame>), Vec<Member>> = HashMap::new();
    for ((state, calls), seen) in groups {
        let frames = frames(&calls, &mut symbols);
        merged.entry((state, frames)).or_default().extend(seen);
    }
    let mut groups: Vec<StackGroup> = merged
        .into_iter()
        .map(|((state, frames), mut seen)| {
            seen.sort_by_key(|(info, _)| info.id);
            let ages = || seen.iter().map(|(_, age)| *age);
            let parked_for = Range {
                start: ages().min().unwrap_or_default(),
                end: ages().max().unwrap_or_default(),
            };
            StackGroup {
                state,
                parked_for,
                goroutines: seen.into_iter().map(|(info, _)| info).collect(),
                frames,
            }
        })
        .collect();
    groups.sort_by_key(|group| {
        let first = group.goroutines.first().map_or(0, |info| info.id);
        (std::cmp::Reverse(group.goroutines.len()), first)
    });
    GoroutineProfile { groups }
}

/// The program's frames, and the function of the runtime that it called.
pub(crate) fn frames(calls: &[u64], symbols: &mut Symbols) -> Vec<Frame> {
    let all: Vec<&Frame> = symbols.at(calls);
    // A frame without a file is the assembly at which a stack begins.
    let is_program = |frame: &&Frame| frame.file.is_some() && !is_runtime(frame) && !is_std(frame);
    let first = all.iter().position(is_program);
    let last = all.iter().rposition(is_program);
    let kept = match (first, last) {
        (Some(first), Some(last)) => {
            // The function that the program called is the outermost frame of the runtime. Frames of
            // std may be between it and the program's frame.
            let call = all[..first].iter().rposition(|frame| is_runtime(frame));
            &all[call.unwrap_or(0)..=last]
        }
        // No frame is the program's.
        _ => all.as_slice(),
    };
    let mut kept: Vec<Frame> = kept.iter().copied().cloned().collect();
    // Stacks that differ only inside the runtime become equal.
    if let Some(call) = kept.first_mut().filter(|frame| is_runtime(frame)) {
        call.address = 0;
    }
    kept
}

fn is_runtime(frame: &Frame) -> bool {
    // Line tables contain the path that `file!` gives.
    let here = file!();
    let sources = here.strip_suffix("debug/profile.rs").unwrap_or(here);
    frame
        .file
        .as_ref()
        .is_some_and(|file| file.contains(sources))
}

/// Such frames are between a goroutine's outermost frame and the program's closure.
fn is_std(frame: &Frame) -> bool {
    let file = frame.file.as_deref().unwrap_or("");
    file.contains("/library/std/src/") || file.contains("/library/core/src/")
}
