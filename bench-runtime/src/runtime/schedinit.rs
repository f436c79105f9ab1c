//! How a runtime starts: Go's `schedinit`.

use std::io;

use super::blocked::Blocked;
use super::deadlock::{Rechecks, check_before_sleep};
use super::sweep::Sweep;
use super::{fake_time, quit, schedtrace, shutdown};
use crate::debug::info;
use crate::goroutine::stacks;
use crate::sched::goroutine_main::goroutine_main;
use crate::sched::processor_set::MAX_PROCS;
use crate::sched::procs::{Procs, number_for_host};
use crate::sched::schedule::machine_main;
use crate::sched::settings::Settings;
use crate::sched::shared::{Entries, Shared};
use crate::sched::sysmon::{Watch, sysmon};
use crate::sched::{current, hand_off, wake};
use crate::stack::{Class, StackError};
use crate::sys::{barrier, fork};
use crate::threads::{self, THREAD_STACK};

fn stack_error(error: StackError) -> io::Error {
    io::Error::other(error)
}

/// GOMAXPROCS, and whether it was set explicitly or by the environment.
fn procs_of(settings: &Settings) -> io::Result<(usize, bool)> {
    let by_environment = std::env::var("GOMAXPROCS")
        .ok()
        .and_then(|v| v.trim().parse::<usize>().ok());
    let fixed_procs = match settings.fake_time || settings.seed.is_some() {
        true => Some(1),
        false => settings.procs.or(by_environment.filter(|&n| n > 0)),
    };
    let procs = fixed_procs.unwrap_or_else(|| number_for_host(settings.reads_files));
    if !(1..=MAX_PROCS).contains(&procs) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("GOMAXPROCS must be 1 to {MAX_PROCS}, not {procs}"),
        ));
    }
    Ok((procs, fixed_procs.is_some()))
}

pub(crate) fn start(settings: &Settings) -> io::Result<&'static Shared> {
    if fork::is_child() {
        return Err(io::Error::other(
            "this is the child of a fork, and its parent had built a runtime, whose locks \
             another thread may have held: fork before the first runtime is built",
        ));
    }
    fork::watch_and_call(current::after_fork);
    barrier::register();
    let (procs, is_fixed) = procs_of(settings)?;
    let default_class = Class::for_policy(settings.stack).map_err(stack_error)?;
    crate::stack::reserve().map_err(stack_error)?;
    wake::prepare_for(default_class);
    // Tests that a thread can start: if the first M could not, `run` would end the process.
    threads::start("probe", THREAD_STACK, || ())?;
    if settings.shrink_options.compact {
        crate::stack::enable_compaction().map_err(io::Error::other)?;
    }
    let entries = Entries {
        machine: machine_main,
        goroutine: goroutine_main,
        on_idle: fake_time::advance,
        on_rest: check_before_sleep,
        thread_ends: shutdown::thread_ends,
    };
    let shared = Shared::new(settings, (Procs::new(is_fixed), default_class), entries)?;
    crate::stack::overflow::describe_with(info::describe_in_signal_handler);
    stacks::install();
    hand_off::resize_to(shared, procs);
    let sysmon_started = threads::start("sysmon", THREAD_STACK, move || {
        let mut watches: Vec<Box<dyn Watch>> = vec![
            Box::new(Sweep::default()),
            Box::new(Blocked::default()),
            Box::new(Rechecks::default()),
        ];
        watches.extend(schedtrace::of_environment());
        sysmon(shared, watches);
        Shared::release(shared);
    });
    if sysmon_started.is_err() {
        // Sysmon, which did not start, was counted as a user of `shared`.
        Shared::release(shared);
    }
    let started = match settings.dumps_on_quit {
        true => sysmon_started.and_then(|()| quit::dump_on_quit(shared)),
        false => sysmon_started,
    };
    if let Err(error) = started {
        shutdown::stop(shared);
        Shared::release(shared);
        return Err(error);
    }
    if !shared.is_test() {
        wake::start_machines(shared);
    }
    Ok(shared)
}
