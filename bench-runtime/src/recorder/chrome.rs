//! A trace as Chrome's trace events, which Perfetto opens.
//!
//! Source: the "Trace Event Format" document of the Chromium project: `X` is a slice, `i` an
//! instant, `s` and `f` the ends of an arrow, `M` a name.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::{self, BufWriter, Write};

use super::event::{Event, Kind};
use crate::goroutine::WaitReason;
use crate::goroutine::details::Labels;

/// The content of a runtime's flight recorder at one moment.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go, trace, yield_now};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().trace(trace::Level::Switches).build() }?;
/// runtime.run(|| (0..3).for_each(|_| go(yield_now).join().unwrap()));
/// let trace = runtime.trace();
/// assert!(trace.events_count() > 0);
/// assert_eq!(trace.lost_count(), 0); // It did not run for long.
/// let mut json = Vec::new(); // Or a file, for ui.perfetto.dev.
/// trace.write_chrome(&mut json)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub(crate) tracks: Vec<Track>,
    pub(crate) goroutines: BTreeMap<u64, Who>,
}

#[derive(Clone, Debug)]
pub(crate) struct Track {
    /// When the ring was read: later events are missing. Rings are read at different times.
    pub(crate) at_ns: u64,
    /// `None` for events without a P.
    pub(crate) p: Option<usize>,
    pub(crate) lost_count: u64,
    pub(crate) events: Vec<Event>,
}

/// What is known of a goroutine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who {
    pub(crate) name: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) spawned_at: Option<String>,
}

impl Trace {
    /// How many events it has.
    #[must_use]
    pub fn events_count(&self) -> usize {
        self.tracks.iter().map(|track| track.events.len()).sum()
    }

    /// How many older events were overwritten.
    #[must_use]
    pub fn lost_count(&self) -> u64 {
        self.tracks.iter().map(|track| track.lost_count).sum()
    }

    /// Writes it as JSON in Chrome's trace event format, which ui.perfetto.dev and
    /// `chrome://tracing` open. There is a track for each P with the goroutines that ran on it, and
    /// one for each M with the Ps that it held. Arrows lead from the event that readied a goroutine
    /// to its next run.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, trace};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().trace(trace::Level::Switches).build() }?;
    /// runtime.run(|| ());
    /// let path = std::env::temp_dir().join(format!("trace-{}.json", std::process::id()));
    /// runtime.trace().write_chrome(&mut std::fs::File::create(&path)?)?;
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_chrome(&self, out: &mut impl Write) -> io::Result<()> {
        let mut out = BufWriter::new(out);
        write(self, &mut out)?;
        out.flush()
    }
}

/// The format's "process" with a "thread" for each P.
const PROCESSORS: u64 = 1;
const MACHINES: u64 = 2;
/// The "thread" of events without a P; its number is above all Ps.
const NO_P: u64 = 1 << 20;

struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Place {
    pid: u64,
    tid: u64,
}

struct OpenSlice {
    subject: u64,
    since_ns: u64,
}

struct Writer<'a, W> {
    trace: &'a Trace,
    out: &'a mut W,
    base_ns: u64,
    begun: bool,
}

fn write(trace: &Trace, out: &mut impl Write) -> io::Result<()> {
    let times = trace.tracks.iter().flat_map(|track| &track.events);
    let base_ns = times.map(|event| event.at_ns).min().unwrap_or(0);
    let mut writer = Writer {
        trace,
        out,
        base_ns,
        begun: false,
    };
    write!(
        writer.out,
        "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"lost_count\":{}}},\"traceEvents\":[",
        trace.lost_count()
    )?;
    writer.names()?;
    for track in &trace.tracks {
        writer.track(track)?;
    }
    writer.arrows()?;
    writer.out.write_all(b"\n]}\n")
}

fn place_of(track: &Track) -> Place {
    Place {
        pid: PROCESSORS,
        tid: track.p.map_or(NO_P, |p| p as u64),
    }
}

impl<W: Write> Writer<'_, W> {
    /// `rest` is the text after the place.
    fn event(&mut self, phase: char, at: Place, rest: fmt::Arguments<'_>) -> io::Result<()> {
        let comma = if self.begun { "," } else { "" };
        self.begun = true;
        write!(
            self.out,
            "{comma}\n{{\"ph\":\"{phase}\",\"pid\":{},\"tid\":{},{rest}}}",
            at.pid, at.tid
        )
    }

    fn us(&self, ns: u64) -> String {
        let ns = ns.saturating_sub(self.base_ns);
        format!("{}.{:03}", ns / 1000, ns % 1000)
    }

    fn name(&mut self, what: &str, at: Place, name: &str) -> io::Result<()> {
        let name = Escaped(name);
        self.event(
            'M',
            at,
            format_args!("\"name\":\"{what}\",\"args\":{{\"name\":\"{name}\"}}"),
        )
    }

    fn names(&mut self) -> io::Result<()> {
        let process = |pid| Place { pid, tid: 0 };
        self.name("process_name", process(PROCESSORS), "P: what runs")?;
        self.name("process_name", process(MACHINES), "M: OS threads")?;
        for track in &self.trace.tracks {
            let name = match track.p {
                Some(p) => format!("P{p}"),
                None => "sysmon and outside".to_owned(),
            };
            self.name("thread_name", place_of(track), &name)?;
        }
        let events = self.trace.tracks.iter().flat_map(|track| &track.events);
        let mut machines: Vec<u64> = events
            .filter(|event| event.kind == Kind::Start)
            .map(|event| event.subject())
            .collect();
        machines.sort_unstable();
        machines.dedup();
        for m in machines {
            let at = Place {
                pid: MACHINES,
                tid: m,
            };
            self.name("thread_name", at, &format!("M{m}"))?;
        }
        Ok(())
    }

    fn title(&self, g: u64) -> String {
        match self
            .trace
            .goroutines
            .get(&g)
            .and_then(|who| who.name.as_ref())
        {
            Some(name) => format!("{} {g}", Escaped(name)),
            None => format!("goroutine {g}"),
        }
    }

    fn track(&mut self, track: &Track) -> io::Result<()> {
        let at = place_of(track);
        let mut run: Option<OpenSlice> = None;
        let mut held: Option<OpenSlice> = None;
        for &event in &track.events {
            let reason = match event.kind {
                // A park and a yield have events of their own, so the goroutine that ran before
                // this one has ended.
                Kind::Run => "end",
                Kind::Park => WaitReason::from_u8(event.detail() as u8).as_str(),
                Kind::Yield => "yield",
                Kind::End => "end",
                Kind::Start | Kind::Stop => "the P was given away",
                Kind::Retake => "the P was retaken",
                _ => {
                    self.instant(at, event)?;
                    continue;
                }
            };
            self.end_run(at, run.take(), event.at_ns, reason)?;
            let open = || OpenSlice {
                subject: event.subject(),
                since_ns: event.at_ns,
            };
            if event.kind == Kind::Run {
                run = Some(open());
            }
            if matches!(event.kind, Kind::Start | Kind::Stop | Kind::Retake) {
                self.end_hold(track, held.take(), event.at_ns)?;
            }
            match event.kind {
                Kind::Start => held = Some(open()),
                Kind::Retake => self.instant(at, event)?,
                _ => {}
            }
        }
        self.end_run(at, run, track.at_ns, "still running")?;
        self.end_hold(track, held, track.at_ns)
    }

    fn end_run(
        &mut self,
        at: Place,
        run: Option<OpenSlice>,
        end_ns: u64,
        reason: &str,
    ) -> io::Result<()> {
        let Some(OpenSlice { subject, since_ns }) = run else {
            return Ok(());
        };
        let (title, from) = (self.title(subject), self.us(since_ns));
        let length = self.us(self.base_ns + end_ns.saturating_sub(since_ns));
        let who = self.trace.goroutines.get(&subject);
        let site = who.and_then(|who| who.spawned_at.as_deref());
        let site = Escaped(site.unwrap_or("before what is recorded"));
        let labels: String = (who.iter().flat_map(|who| &who.labels))
            .map(|(key, value)| format!(",\"label {}\":\"{}\"", Escaped(key), Escaped(value)))
            .collect();
        self.event(
            'X',
            at,
            format_args!(
                "\"name\":\"{title}\",\"ts\":{from},\"dur\":{length},\"args\":\
                 {{\"goroutine\":{subject},\"spawned_at\":\"{site}\"{labels},\"until\":\"{reason}\"}}"
            ),
        )
    }

    fn end_hold(&mut self, track: &Track, held: Option<OpenSlice>, end_ns: u64) -> io::Result<()> {
        let (Some(OpenSlice { subject, since_ns }), Some(p)) = (held, track.p) else {
            return Ok(());
        };
        let at = Place {
            pid: MACHINES,
            tid: subject,
        };
        let from = self.us(since_ns);
        let length = self.us(self.base_ns + end_ns.saturating_sub(since_ns));
        self.event(
            'X',
            at,
            format_args!("\"name\":\"P{p}\",\"ts\":{from},\"dur\":{length}"),
        )
    }

    fn instant(&mut self, at: Place, event: Event) -> io::Result<()> {
        let (subject, detail) = (event.subject(), event.detail());
        let title = match event.kind {
            Kind::Spawn => format!("spawn {}", self.title(subject)),
            Kind::Ready => format!("ready {}", self.title(subject)),
            Kind::Retake => format!("P retaken from M{detail}, {}", self.title(subject)),
            Kind::Rescue => format!("rescue {}", self.title(subject)),
            Kind::Steal => format!("steal {detail} from P{subject}"),
            Kind::Block => format!("blocking call of {}", self.title(subject)),
            Kind::Unblock => format!("end of a blocking call of {}", self.title(subject)),
            Kind::Netpoll => format!("netpoll: {subject} ready"),
            Kind::Timers => format!("timers of P{subject}: {detail} ready"),
            Kind::ThreadStart => format!("thread of M{subject} starts"),
            Kind::ThreadEnd => format!("thread of M{subject} ends"),
            Kind::Compact => format!("{subject} stacks compacted"),
            Kind::Procs => format!("GOMAXPROCS={subject}"),
            // The other kinds belong to the preceding spawn, or are slices.
            _ => return Ok(()),
        };
        let from = self.us(event.at_ns);
        self.event(
            'i',
            at,
            format_args!("\"name\":\"{title}\",\"ts\":{from},\"s\":\"t\""),
        )
    }

    fn arrows(&mut self) -> io::Result<()> {
        let trace = self.trace;
        let mut events: Vec<(Place, Event)> = (trace.tracks.iter())
            .flat_map(|track| track.events.iter().map(|&event| (place_of(track), event)))
            .filter(|(_, event)| matches!(event.kind, Kind::Spawn | Kind::Ready | Kind::Run))
            .collect();
        // Of two events at the same time, the event that readies a goroutine comes first.
        events.sort_by_key(|(_, event)| (event.at_ns, event.kind == Kind::Run));
        let mut waiting: BTreeMap<u64, (Place, Event)> = BTreeMap::new();
        let mut number = 0u64;
        for (at, event) in events {
            let g = event.subject();
            if event.kind != Kind::Run {
                // A spawn from outside has a `Ready` event too.
                waiting.entry(g).or_insert((at, event));
                continue;
            }
            let Some((from, origin)) = waiting.remove(&g) else {
                continue;
            };
            number += 1;
            let name = match origin.kind {
                Kind::Spawn => "spawn",
                _ => "ready",
            };
            for (phase, at, ns, binding) in [
                ('s', from, origin.at_ns, ""),
                ('f', at, event.at_ns, ",\"bp\":\"e\""),
            ] {
                let ts = self.us(ns);
                self.event(
                    phase,
                    at,
                    format_args!(
                        "\"name\":\"{name}\",\"cat\":\"runnable\",\"id\":{number},\"ts\":{ts}{binding}"
                    ),
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_so_that_json_reads_it_back() {
        let text = "a \"quoted\" \\ name\n\u{1}\u{7f} ünïcödé 🧵";
        let read: String = serde_json::from_str(&format!("\"{}\"", Escaped(text))).unwrap();
        assert_eq!(read, text);
    }
}
