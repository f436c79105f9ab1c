//! What perf events count of a lane's process, on the highest rung of the
//! ladder that this kernel offers to this user.
//!
//! | rung       | what is counted                                              |
//! |------------|--------------------------------------------------------------|
//! | hardware   | instructions, cycles, cache and branch misses, in user mode  |
//! | software   | page faults, context switches, migrations, by the kernel     |
//! | accounting | nothing here: getrusage and /proc, which each sample has     |
//!
//! The rungs add up: with the hardware's events come the kernel's. Events are
//! inherited by threads and processes that the lane starts later, so the lane
//! must be asked before it starts any.

use std::collections::BTreeMap;
use std::io;

use perf_event::events::{Hardware, Software};
use perf_event::{Builder, Counter, CounterData};

/// An event, and the name it has in result files.
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

/// An open counter.
#[derive(Debug)]
struct Open {
    name: &'static str,
    counter: Counter,
    /// What it said when the counting began.
    begun: Option<CounterData>,
}

/// Counters of one process, its threads and its children.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    open: Vec<Open>,
    /// Why the hardware's events are not among them, and why the kernel's.
    refused: [Option<io::Error>; 2],
}

impl Counters {
    /// Those of a process, disabled. What the kernel refuses is left out.
    pub(crate) fn of_process(pid: i32) -> Self {
        let mut found = Self::default();
        for (name, event) in HARDWARE {
            let mut builder = Builder::new(event);
            builder.observe_pid(pid).inherit(true);
            found.add(0, name, builder.build());
        }
        for (name, event) in SOFTWARE {
            let mut builder = Builder::new(event);
            // They happen in the kernel, or in its name.
            builder.observe_pid(pid).inherit(true).include_kernel();
            found.add(1, name, builder.build());
        }
        found
    }

    fn add(&mut self, rung: usize, name: &'static str, opened: io::Result<Counter>) {
        match opened {
            Ok(counter) => self.open.push(Open {
                name,
                counter,
                begun: None,
            }),
            Err(error) => self.refused[rung] = Some(error),
        }
    }

    /// Counts from now on.
    pub(crate) fn begin(&mut self) {
        self.open.retain_mut(|one| {
            let begun = one.counter.enable().and_then(|()| one.counter.read_full());
            let is_there = begun.is_ok();
            // Not reset: that leaves what ended threads have added.
            one.begun = begun.ok();
            is_there
        });
    }

    /// What was counted since [`begin`](Self::begin). An event that had to
    /// share the hardware with others is left out: it was seen for a part of
    /// the time only.
    pub(crate) fn end(&mut self) -> BTreeMap<String, u64> {
        let read = |one: &mut Open| {
            let begun = one.begun.take()?;
            one.counter.disable().ok()?;
            let now = one.counter.read_full().ok()?;
            let running = now.time_running()?.checked_sub(begun.time_running()?)?;
            let enabled = now.time_enabled()?.checked_sub(begun.time_enabled()?)?;
            let count = now.count().checked_sub(begun.count())?;
            (running == enabled).then(|| (one.name.to_owned(), count))
        };
        self.open.iter_mut().filter_map(read).collect()
    }
}

/// The rung on which this host stands for this user, and what keeps it from
/// those above.
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
    match &counters.refused {
        [None, _] => format!("hardware events: {}; {ACCOUNTING}", names.join(", ")),
        [hardware, software] if !names.is_empty() => {
            let software = match software {
                None => String::new(),
                missing => format!("; some of the kernel's events are {}", why(missing)),
            };
            format!(
                "events of the kernel: {}; {ACCOUNTING}; the hardware's are {}{software}",
                names.join(", "),
                why(hardware)
            )
        }
        [hardware, software] => format!(
            "{ACCOUNTING}; the hardware's events are {}, the kernel's {}",
            why(hardware),
            why(software)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: io::ErrorKind) -> Option<io::Error> {
        Some(kind.into())
    }

    #[test]
    fn the_lowest_rung_says_what_keeps_it_from_both_others() {
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
        // No process has this number: nothing can be opened.
        let mut none = Counters::of_process(i32::MAX);
        assert!(none.refused.iter().all(Option::is_some));
        none.begin();
        assert_eq!(none.end(), BTreeMap::new());
    }

    #[test]
    fn faults_of_this_thread_are_counted_where_the_kernel_lets_us() {
        let mut counters = Counters::of_process(0);
        let names: Vec<&str> = counters.open.iter().map(|one| one.name).collect();
        if !names.contains(&"page_faults") {
            assert!(counters.refused[1].is_some(), "neither counted nor refused");
            return;
        }
        assert!(describe(&counters).contains("page_faults"));
        counters.begin();
        // 4 MiB of fresh pages, each touched: by huge pages they are few.
        let fresh: Vec<u8> = std::hint::black_box(vec![1; 4 << 20]);
        let counted = counters.end();
        drop(fresh);
        assert!(counted["page_faults"] > 0, "{counted:?}");
        counters.begin();
        let again = counters.end();
        assert!(again["page_faults"] < counted["page_faults"], "{again:?}");
    }
}
