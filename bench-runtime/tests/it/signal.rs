//! Signals as values. Each test uses other signals, because signals belong to the process.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use bench_runtime::signal::{self, Signal, Signals};
use bench_runtime::{
    RecvTimeoutError, Sender, TryRecvError, chan, go, goroutines, select, yield_now,
};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, sigaction};

use crate::future::poll_once;
use crate::sched_support::at_each;
use crate::support::{Way, everywhere};

/// Returns when the handler has run.
fn raise(signal: Signal) {
    // SAFETY: sends a signal that the test catches or ignores.
    assert_eq!(unsafe { libc::raise(signal.as_raw()) }, 0);
}

fn real_time(offset: i32) -> Signal {
    Signal::from_raw(libc::SIGRTMIN() + offset).unwrap()
}

fn notify(signals: &[Signal]) -> Signals {
    signal::notify(signals).unwrap()
}

const SOON: Duration = Duration::from_secs(60);

#[test]
fn each_receiver_of_a_signal_gets_it_once() {
    everywhere(|way| {
        let signals: Vec<_> = (0..3).map(|_| notify(&[Signal::USR1])).collect();
        let tasks: Vec<_> = signals
            .into_iter()
            .map(|signals| {
                way.go(move || {
                    let first = signals.recv_timeout(SOON);
                    (first, signals.try_recv())
                })
            })
            .collect();
        raise(Signal::USR1);
        for task in tasks {
            let got = task.join();
            assert_eq!(got, (Ok(Signal::USR1), Err(TryRecvError::Empty)));
        }
    });
}

/// Returns when all earlier signals have reached their channels.
fn until_told() {
    let last = Signal::from_raw(libc::SIGRTMAX()).unwrap();
    let marker = notify(&[last]);
    raise(last);
    assert_eq!(marker.recv_timeout(SOON), Ok(last));
}

#[test]
fn of_many_signals_at_once_each_number_comes_once_and_none_is_lost() {
    everywhere(|way| {
        let all: Vec<_> = (1..=5).map(real_time).collect();
        let signals = notify(&all);
        let raisers: Vec<_> = (0..4)
            .map(|_| {
                let all = all.clone();
                way.go(move || {
                    for _ in 0..100 {
                        all.iter().copied().for_each(raise);
                    }
                })
            })
            .collect();
        raisers.into_iter().for_each(|raiser| raiser.join());
        until_told();
        let mut got: Vec<_> = signals.try_iter().collect();
        got.sort();
        assert_eq!(got, all);
        // A later signal is another value.
        raise(all[2]);
        assert_eq!(signals.recv_timeout(SOON), Ok(all[2]));
    });
}

#[test]
fn signal_that_a_dropped_future_puts_back_is_merged_and_displaces_no_other_signal() {
    let all = [Signal::ALRM, real_time(0), real_time(11)];
    let signals = notify(&all);
    let futures = all[..2].iter().map(|signal| {
        let mut future = Box::pin(signals.recv_async());
        assert!(poll_once(future.as_mut(), Waker::noop()).is_pending());
        raise(*signal);
        until_told();
        future
    });
    let futures: Vec<_> = futures.collect();
    // Both signals come again before the futures, which have received them, are dropped.
    all[..2].iter().copied().for_each(raise);
    until_told();
    drop(futures);
    raise(all[2]);
    until_told();
    let mut pending: Vec<_> = signals.try_iter().collect();
    pending.sort_unstable();
    assert_eq!(pending, all);
}

/// A signal stack of std has room for two or three nested handlers.
#[test]
fn signals_that_reach_a_thread_at_once_need_the_stack_of_one_handler() {
    everywhere(|_: Way| {
        let all: Vec<_> = (12..=27).map(real_time).collect();
        let signals = notify(&all);
        // All signals are blocked, because nix has no names for real-time signals.
        SigSet::all().thread_block().unwrap();
        all.iter().copied().for_each(raise);
        SigSet::all().thread_unblock().unwrap();
        let mut got: Vec<_> = all
            .iter()
            .map(|_| signals.recv_timeout(SOON).unwrap())
            .collect();
        got.sort();
        assert_eq!(got, all);
    });
}

#[test]
fn waker_of_a_signals_future_may_drop_receivers_and_raise_signals() {
    struct Listens(Mutex<Option<Signals>>, Sender<()>);
    impl Wake for Listens {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            let signals = notify(&[real_time(28)]);
            raise(real_time(28));
            assert_eq!(signals.recv_timeout(SOON), Ok(real_time(28)));
            self.1.send(()).unwrap();
        }
    }
    everywhere(|_: Way| {
        let (tx, rx) = chan(1);
        let waker = Waker::from(Arc::new(Listens(
            Mutex::new(Some(notify(&[real_time(28)]))),
            tx,
        )));
        let signals = notify(&[real_time(29)]);
        let mut receive = Box::pin(signals.recv_async());
        assert!(poll_once(receive.as_mut(), &waker).is_pending());
        raise(real_time(29));
        assert_eq!(rx.recv_timeout(SOON), Ok(()));
        let got = poll_once(receive.as_mut(), &waker);
        assert_eq!(got, Poll::Ready(Some(real_time(29))));
    });
}

#[test]
fn a_goroutine_that_waits_for_a_signal_lets_others_run() {
    at_each(&[1, 2, 64], |_| {
        let signals = notify(&[Signal::USR2]);
        let waiting = go(move || signals.recv());
        while !goroutines().iter().any(|g| g.state == "chan receive") {
            yield_now();
        }
        raise(Signal::USR2);
        assert_eq!(waiting.join().unwrap(), Some(Signal::USR2));
    });
}

#[test]
fn a_select_takes_a_signal_as_one_of_its_cases() {
    everywhere(|_: Way| {
        let wanted = real_time(6);
        let signals = notify(&[wanted]);
        let (_tx, rx) = chan::<u8>(0);
        raise(wanted);
        let got = select! {
            recv(rx) -> _ => None,
            recv(signals) -> signal => signal,
            timeout(SOON) => None,
        };
        assert_eq!(got, Some(wanted));
    });
}

#[test]
fn an_ignored_signal_is_caught_by_its_receivers_and_ignored_again_after_the_last_drop() {
    let wanted = real_time(7);
    // SAFETY: sets no handler.
    unsafe { libc::signal(wanted.as_raw(), libc::SIG_IGN) };
    assert!(signal::is_ignored(wanted));
    let (first, second) = (notify(&[wanted]), notify(&[wanted, real_time(8)]));
    assert!(!signal::is_ignored(wanted));
    let clone = first.clone();
    drop(first);
    assert_eq!(clone.recv(), None, "its channel is closed");
    raise(wanted);
    assert_eq!(second.recv_timeout(SOON), Ok(wanted));
    drop(second);
    assert!(signal::is_ignored(wanted));
    raise(wanted);
}

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn the_programs_own_handler_is_back_after_the_drop_unless_it_came_later() {
    let action = SigAction::new(
        SigHandler::Handler(count),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler counts.
    let install = || unsafe { sigaction(nix::sys::signal::SIGURG, &action) }.unwrap();
    install();
    let signals = notify(&[Signal::URG]);
    raise(Signal::URG);
    assert_eq!(signals.recv_timeout(SOON), Ok(Signal::URG));
    assert_eq!(HANDLED.load(Ordering::SeqCst), 0);
    drop(signals);
    raise(Signal::URG);
    assert_eq!(HANDLED.load(Ordering::SeqCst), 1);

    // SAFETY: sets no handler.
    unsafe { libc::signal(libc::SIGURG, libc::SIG_IGN) };
    let signals = notify(&[Signal::URG]);
    let ours = install();
    assert!(matches!(ours.handler(), SigHandler::Handler(_)));
    drop(signals);
    raise(Signal::URG);
    assert_eq!(HANDLED.load(Ordering::SeqCst), 2, "the later one stays");
}

#[test]
fn signals_that_cannot_be_received_are_refused_by_name() {
    let texts = [
        (Signal::KILL, "SIGKILL cannot be asked for: no process"),
        (Signal::STOP, "SIGSTOP cannot be asked for: no process"),
        (Signal::SEGV, "SIGSEGV cannot be asked for: the runtime"),
        (Signal::BUS, "SIGBUS cannot be asked for: the runtime"),
        (Signal::ILL, "SIGILL cannot be asked for: the instruction"),
        (Signal::FPE, "SIGFPE cannot be asked for: the instruction"),
    ];
    for (signal, text) in texts {
        let error = signal::notify(&[real_time(9), signal]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with(text), "{error}");
    }
    let own = Signal::from_raw(33).unwrap();
    assert!(
        signal::notify(&[own])
            .unwrap_err()
            .to_string()
            .contains("libc")
    );
    let none = signal::notify(&[]).unwrap_err().to_string();
    assert_eq!(none, "no signal is named");
    assert_eq!(Signal::from_raw(65), None);
}

/// A signal between fork and exec has its default effect on the child, and none on the parent.
#[test]
#[cfg_attr(
    rt_tsan,
    ignore = "tsan calls handlers at its own time: the child's exec comes first"
)]
fn a_signal_to_a_child_before_its_exec_ends_the_child_alone() {
    use std::os::unix::process::{CommandExt, ExitStatusExt};

    let signals = notify(&[Signal::TERM]);
    let mut command = Command::new("true");
    // SAFETY: raise may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::raise(libc::SIGTERM);
            Ok(())
        });
    }
    let status = command.status().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGTERM));
    let status = Command::new("sh")
        .args(["-c", "kill -TERM $$; exit 7"])
        .status();
    assert_eq!(status.unwrap().signal(), Some(libc::SIGTERM));
    let nothing = signals.recv_timeout(Duration::from_millis(20));
    assert_eq!(nothing, Err(RecvTimeoutError::Timeout));
}

#[test]
fn children_started_while_signals_come_end_as_they_should() {
    at_each(&[1, 2, 64], |_| {
        let wanted = real_time(10);
        let signals = notify(&[wanted]);
        let (stop, stopped) = chan::<()>(0);
        let raiser = go(move || {
            let mut count = 0;
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                raise(wanted);
                count += 1;
                yield_now();
            }
            count
        });
        for code in 0..20 {
            let script = format!("exit {code}");
            let status = bench_runtime::process::Command::new("sh")
                .args(["-c", &script])
                .status()
                .unwrap();
            assert_eq!(status.code(), Some(code));
        }
        drop(stop);
        assert!(raiser.join().unwrap() > 0);
        assert_eq!(signals.recv_timeout(SOON), Ok(wanted));
    });
}
