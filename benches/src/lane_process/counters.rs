//! Counts perf events of a lane's process: those of the *rung* that this kernel offers to this
//! user.
//!
//! | rung       | what is counted                                              |
//! |------------|--------------------------------------------------------------|
//! | hardware   | instructions, cycles, cache and branch misses, in user mode  |
//! | software   | page faults, context switches, migrations, by the kernel     |
//! | accounting | nothing here: getrusage and /proc, which each sample has     |
//!
//! Each rung includes those below it in the table. Threads and processes that the lane starts later
//! inherit the events, so the events must be opened first.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::time::Duration;

use perf_event::events::{Hardware, Software};
use perf_event::{Builder, Counter};

type Named<E> = (&'static str, E);

const HARDWARE: [Named<Hardware>; 4] = [
    ("instructions", Hardware::INSTRUCTIONS),
    ("cycles", Hardware::CPU_CYCLES),
    ("cache_misses", Hardware::CACHE_MISSES),
    ("branch_misses", Hardware::BRANCH_MISSES),
];

const SOFTWARE: [Named<Software>; 3] = [
    ("page_faults", Software::PAGE_FAULTS),
    ("context_switches", Software::CONTEXT_SWITCHES),
    ("migrations", Software::CPU_MIGRATIONS),
];

/// `perf_event_open`, or a test's invented machine.
trait Kernel {
    fn hardware(&mut self, pid: i32, event: Named<Hardware>) -> io::Result<Box<dyn Event>>;
    fn software(&mut self, pid: i32, event: Named<Software>) -> io::Result<Box<dyn Event>>;
}

trait Event: Debug + Send {
    fn enable(&mut self) -> io::Result<()>;
    fn disable(&mut self) -> io::Result<()>;
    fn read(&mut self) -> io::Result<Reading>;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reading {
    count: u64,
    enabled_ns: u64,
    /// How long the hardware has counted the event.
    running_ns: u64,
}

struct Real;

impl Kernel for Real {
    fn hardware(&mut self, pid: i32, (_, event): Named<Hardware>) -> io::Result<Box<dyn Event>> {
        let mut builder = Builder::new(event);
        builder.observe_pid(pid).inherit(true);
        Ok(Box::new(builder.build()?))
    }

    fn software(&mut self, pid: i32, (_, event): Named<Software>) -> io::Result<Box<dyn Event>> {
        let mut builder = Builder::new(event);
        builder.observe_pid(pid).inherit(true).include_kernel();
        Ok(Box::new(builder.build()?))
    }
}

impl Event for Counter {
    fn enable(&mut self) -> io::Result<()> {
        Counter::enable(self)
    }

    fn disable(&mut self) -> io::Result<()> {
        Counter::disable(self)
    }

    fn read(&mut self) -> io::Result<Reading> {
        let data = self.read_full()?;
        let nanos = |duration: Option<Duration>| {
            let nanos = duration.and_then(|time| u64::try_from(time.as_nanos()).ok());
            nanos.ok_or_else(|| io::Error::other("the kernel says no times of this counter"))
        };
        Ok(Reading {
            count: data.count(),
            enabled_ns: nanos(data.time_enabled())?,
            running_ns: nanos(data.time_running())?,
        })
    }
}

#[derive(Debug)]
struct Open {
    name: &'static str,
    event: Box<dyn Event>,
    begun: Option<Reading>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    open: Vec<Open>,
    /// The errors for the hardware events, and for the software events.
    refused: [Option<io::Error>; 2],
}

impl Counters {
    /// Disabled counters, without the events that the kernel refuses.
    pub(crate) fn of_process(pid: i32) -> Self {
        Self::opened(&mut Real, pid)
    }

    fn opened(kernel: &mut dyn Kernel, pid: i32) -> Self {
        let mut found = Self::default();
        for event in HARDWARE {
            found.add(0, event.0, kernel.hardware(pid, event));
        }
        for event in SOFTWARE {
            found.add(1, event.0, kernel.software(pid, event));
        }
        found
    }

    fn add(&mut self, rung: usize, name: &'static str, opened: io::Result<Box<dyn Event>>) {
        match opened {
            Ok(event) => self.open.push(Open {
                name,
                event,
                begun: None,
            }),
            Err(error) => self.refused[rung] = Some(error),
        }
    }

    pub(crate) fn begin(&mut self) {
        self.open.retain_mut(|one| {
            let begun = one.event.enable().and_then(|()| one.event.read());
            let is_there = begun.is_ok();
            // `end` subtracts this value: a reset keeps the counts of threads that have ended.
            one.begun = begun.ok();
            is_there
        });
    }

    /// The counts since [`begin`](Self::begin). An event that shared the hardware with others was
    /// counted only in part, and is left out.
    pub(crate) fn end(&mut self) -> BTreeMap<String, u64> {
        let read = |one: &mut Open| {
            let begun = one.begun.take()?;
            one.event.disable().ok()?;
            let now = one.event.read().ok()?;
            let running = now.running_ns.checked_sub(begun.running_ns)?;
            let enabled = now.enabled_ns.checked_sub(begun.enabled_ns)?;
            let count = now.count.checked_sub(begun.count)?;
            (running == enabled).then(|| (one.name.to_owned(), count))
        };
        self.open.iter_mut().filter_map(read).collect()
    }
}

/// The rung of this host for this user, and why not a higher one.
#[must_use]
pub(crate) fn rung() -> String {
    describe(&Counters::of_process(0))
}

fn describe(counters: &Counters) -> String {
    const ACCOUNTING: &str = "getrusage and /proc/PID/sched";
    let names: Vec<&str> = counters.open.iter().map(|one| one.name).collect();
    let why = |error: &Option<io::Error>| match error {
        None => String::new(),
        Some(error) => match error.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("refused ({error}: see kernel.perf_event_paranoid)")
            }
            io::ErrorKind::NotFound => "absent, as in most virtual machines".to_owned(),
            _ => format!("refused ({error})"),
        },
    };
    let is_hardware = |name: &&str| HARDWARE.iter().any(|(known, _)| known == name);
    let [hardware, software] = &counters.refused;
    let some = |whose: &str, missing: &Option<io::Error>| match missing {
        None => String::new(),
        missing => format!("; some of {whose} events are {}", why(missing)),
    };
    if names.iter().any(is_hardware) {
        format!(
            "hardware events: {}; {ACCOUNTING}{}{}",
            names.join(", "),
            some("the hardware's", hardware),
            some("the kernel's", software)
        )
    } else if !names.is_empty() {
        format!(
            "events of the kernel: {}; {ACCOUNTING}; the hardware's are {}{}",
            names.join(", "),
            why(hardware),
            some("the kernel's", software)
        )
    } else {
        format!(
            "{ACCOUNTING}; the hardware's events are {}, the kernel's {}",
            why(hardware),
            why(software)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: io::ErrorKind) -> Option<io::Error> {
        Some(kind.into())
    }

    struct InventedKernel<F>(F);

    #[derive(Clone, Copy, Debug, Default)]
    struct InventedEvent {
        per_reading: i64,
        share_percent: u64,
        fails_to_enable: bool,
        readings: u64,
    }

    impl<F: FnMut(&str) -> io::Result<InventedEvent>> Kernel for InventedKernel<F> {
        fn hardware(&mut self, _: i32, (name, _): Named<Hardware>) -> io::Result<Box<dyn Event>> {
            Ok(Box::new((self.0)(name)?))
        }

        fn software(&mut self, _: i32, (name, _): Named<Software>) -> io::Result<Box<dyn Event>> {
            Ok(Box::new((self.0)(name)?))
        }
    }

    impl Event for InventedEvent {
        fn enable(&mut self) -> io::Result<()> {
            match self.fails_to_enable {
                true => Err(io::ErrorKind::ResourceBusy.into()),
                false => Ok(()),
            }
        }

        fn disable(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn read(&mut self) -> io::Result<Reading> {
            self.readings += 1;
            let count = 1_000_000 + self.per_reading * i64::try_from(self.readings).unwrap();
            Ok(Reading {
                count: u64::try_from(count).unwrap(),
                enabled_ns: 1_000 * self.readings,
                running_ns: 10 * self.share_percent * self.readings,
            })
        }
    }

    fn counting(per_reading: i64) -> io::Result<InventedEvent> {
        Ok(InventedEvent {
            per_reading,
            share_percent: 100,
            ..InventedEvent::default()
        })
    }

    #[test]
    fn the_highest_rung_counts_the_hardwares_events_and_the_kernels() {
        let mut counters = Counters::opened(
            &mut InventedKernel(|name: &str| match name {
                "instructions" => counting(4_000),
                "cycles" => counting(1_000),
                _ => counting(7),
            }),
            0,
        );
        let words = describe(&counters);
        assert!(
            words.starts_with("hardware events: instructions, cycles,"),
            "{words}"
        );
        assert!(words.contains("migrations"), "{words}");
        for _ in 0..2 {
            counters.begin();
            let counted = counters.end();
            assert_eq!(counted.len(), HARDWARE.len() + SOFTWARE.len());
            assert_eq!((counted["instructions"], counted["cycles"]), (4_000, 1_000));
            assert_eq!(counted["page_faults"], 7);
        }
    }

    #[test]
    fn an_event_that_shared_the_hardware_or_went_backwards_is_absent() {
        let mut counters = Counters::opened(
            &mut InventedKernel(|name: &str| match name {
                "cycles" => Ok(InventedEvent {
                    share_percent: 60,
                    ..counting(1_000)?
                }),
                "cache_misses" => counting(-5),
                "branch_misses" => Ok(InventedEvent {
                    fails_to_enable: true,
                    ..counting(1)?
                }),
                _ => counting(0),
            }),
            0,
        );
        counters.begin();
        let counted = counters.end();
        let names: Vec<&str> = counted.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "context_switches",
                "instructions",
                "migrations",
                "page_faults"
            ]
        );
        assert_eq!(counted["instructions"], 0);
    }

    #[test]
    fn without_a_counter_in_the_hardware_the_kernels_events_remain() {
        let refuse = |kind: io::ErrorKind, name: &str| match name {
            "page_faults" | "context_switches" | "migrations" => counting(3),
            _ => Err(kind.into()),
        };
        let absent = Counters::opened(
            &mut InventedKernel(|name: &str| refuse(io::ErrorKind::NotFound, name)),
            0,
        );
        assert!(describe(&absent).starts_with("events of the kernel: page_faults,"));
        assert!(describe(&absent).contains("absent, as in most virtual machines"));
        let mut forbidden = Counters::opened(
            &mut InventedKernel(|name: &str| refuse(io::ErrorKind::PermissionDenied, name)),
            0,
        );
        assert!(describe(&forbidden).contains("kernel.perf_event_paranoid"));
        forbidden.begin();
        assert_eq!(forbidden.end().len(), SOFTWARE.len());
    }

    #[test]
    fn missing_hardware_events_are_reported() {
        let some = Counters::opened(
            &mut InventedKernel(|name: &str| match name {
                "cache_misses" => Err(io::ErrorKind::NotFound.into()),
                _ => counting(1),
            }),
            0,
        );
        let words = describe(&some);
        assert!(
            words.starts_with("hardware events: instructions, cycles, branch_misses,"),
            "{words}"
        );
        assert!(
            words.contains("some of the hardware's events are absent"),
            "{words}"
        );
    }

    #[test]
    fn lowest_rung_names_the_errors_of_both_higher_rungs() {
        let none = Counters {
            open: Vec::new(),
            refused: [
                refused(io::ErrorKind::NotFound),
                refused(io::ErrorKind::PermissionDenied),
            ],
        };
        let words = describe(&none);
        assert!(words.starts_with("getrusage and /proc"), "{words}");
        assert!(
            words.contains("absent, as in most virtual machines"),
            "{words}"
        );
        assert!(words.contains("kernel.perf_event_paranoid"), "{words}");
    }

    #[test]
    fn events_that_cannot_be_opened_are_absent_and_not_zero() {
        let mut none = Counters::of_process(i32::MAX);
        assert!(none.refused.iter().all(Option::is_some));
        none.begin();
        assert_eq!(none.end(), BTreeMap::new());
    }

    #[test]
    fn faults_of_this_thread_are_counted_if_the_kernel_allows_it() {
        let mut counters = Counters::of_process(0);
        let names: Vec<&str> = counters.open.iter().map(|one| one.name).collect();
        if !names.contains(&"page_faults") {
            assert!(counters.refused[1].is_some(), "neither counted nor refused");
            return;
        }
        assert!(describe(&counters).contains("page_faults"));
        counters.begin();
        // 4 MiB of fresh pages, which with huge pages cause only a few faults.
        let fresh: Vec<u8> = std::hint::black_box(vec![1; 4 << 20]);
        let counted = counters.end();
        drop(fresh);
        assert!(counted["page_faults"] > 0, "{counted:?}");
        counters.begin();
        let again = counters.end();
        assert!(again["page_faults"] < counted["page_faults"], "{again:?}");
    }
}
