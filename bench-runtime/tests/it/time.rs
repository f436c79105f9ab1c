//! Sleeping, timers, tickers: never early, never stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::time::{
    AfterFunc, Elapsed, Ticker, Timer, after, after_func, sleep, sleep_until, timeout,
};
use bench_runtime::{Sender, TryRecvError, chan};

use crate::support::{everywhere, message};

const MOMENT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(3_600);

fn ragged(i: u32) -> Duration {
    Duration::from_micros(u64::from(i * 7_919 % 61))
}

#[test]
fn sleep_is_never_shorter_than_asked() {
    everywhere(|way| {
        let sleepers: Vec<_> = (0..16)
            .map(|i| {
                way.go(move || {
                    for round in 0..20 {
                        let duration = Duration::from_micros(i * 37 + round);
                        let begin = Instant::now();
                        sleep(duration);
                        assert!(begin.elapsed() >= duration);
                        let until = Instant::now() + duration;
                        sleep_until(until);
                        assert!(Instant::now() >= until);
                    }
                })
            })
            .collect();
        sleepers.into_iter().for_each(|s| s.join());
    });
}

#[test]
fn sleep_of_zero_a_million_times_starves_no_ticker() {
    everywhere(|way| {
        let ticker = Ticker::new(Duration::from_micros(200));
        let sleepers: Vec<_> = (0..2)
            .map(|_| way.go(|| (0..1_000_000).for_each(|_| sleep(Duration::ZERO))))
            .collect();
        for _ in 0..5 {
            assert!(ticker.receiver().recv().is_some());
        }
        sleepers.into_iter().for_each(|s| s.join());
    });
}

#[test]
fn thirteen_timers_fire_in_the_order_of_their_times() {
    // A loaded machine may wake two sleepers out of order; then the test tries again with longer
    // times.
    const SLOTS: [u32; 13] = [5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0];
    everywhere(|way| {
        let ordered = (1..=5).any(|attempt| {
            let (tx, rx) = chan(SLOTS.len());
            let begin = Instant::now();
            for slot in SLOTS {
                let tx = tx.clone();
                way.go(move || {
                    let tick = after(MOMENT * attempt * 2 * slot).recv();
                    tx.send((slot, tick)).unwrap();
                });
            }
            let got: Vec<_> = (0..SLOTS.len()).map(|_| rx.recv().unwrap()).collect();
            for (slot, tick) in &got {
                assert!(tick.unwrap() >= begin + MOMENT * attempt * 2 * *slot);
            }
            got.is_sorted_by_key(|(slot, _)| *slot)
        });
        assert!(ordered, "out of order five times");
    });
}

#[test]
fn timer_fires_once_and_not_early() {
    everywhere(|_| {
        let begin = Instant::now();
        let timer = Timer::new(MOMENT);
        let tick = timer.receiver().recv().unwrap();
        assert!(begin.elapsed() >= MOMENT);
        assert!(tick >= begin + MOMENT && tick <= Instant::now());
        sleep(MOMENT);
        assert_eq!(timer.receiver().try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn stop_tells_whether_a_tick_was_still_to_be_received() {
    everywhere(|way| {
        let timer = Timer::new(LONG);
        assert!(timer.stop());
        assert!(!timer.stop());

        let received = Timer::new(Duration::ZERO);
        received.receiver().recv().unwrap();
        assert!(!received.stop());

        // A tick that was not received is dropped: the timer counts as not fired.
        let unreceived = Timer::new(Duration::ZERO);
        way.until(|| !unreceived.receiver().is_empty());
        assert!(unreceived.stop());
        assert_eq!(unreceived.receiver().try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn reset_tells_whether_a_tick_was_still_to_be_received() {
    everywhere(|_| {
        let timer = Timer::new(LONG);
        assert!(timer.reset(Duration::ZERO));
        timer.receiver().recv().unwrap();
        assert!(!timer.reset(LONG));
        assert!(timer.stop());
        assert!(!timer.reset(MOMENT));
        timer.receiver().recv().unwrap();
    });
}

#[test]
fn timer_modified_to_earlier_fires_earlier() {
    everywhere(|_| {
        let begin = Instant::now();
        let timer = Timer::new(LONG);
        let others: Vec<Timer> = (0..20).map(|_| Timer::new(LONG)).collect();
        timer.reset(MOMENT);
        timer.receiver().recv().unwrap();
        assert!(begin.elapsed() < LONG / 2);
        drop(others);
    });
}

#[test]
fn earlier_ticks_are_not_received_after_a_stop_or_a_reset() {
    everywhere(|_| {
        let timer = Timer::new(Duration::ZERO);
        for i in 0..3_000 {
            let begin = Instant::now();
            while begin.elapsed() < ragged(i) {
                std::hint::spin_loop();
            }
            if i % 2 == 0 {
                timer.stop();
                assert_eq!(timer.receiver().try_recv(), Err(TryRecvError::Empty));
            }
            // The next timer fires at about the time of its stop or reset.
            let begin = Instant::now();
            timer.reset(ragged(i + 1));
            if i % 3 == 0 {
                let tick = timer.receiver().recv().unwrap();
                assert!(tick >= begin + ragged(i + 1), "a stale tick");
            }
        }
    });
}

#[test]
fn ticks_of_a_ticker_are_a_period_apart_and_never_pile_up() {
    everywhere(|_| {
        let period = Duration::from_millis(2);
        let begin = Instant::now();
        let ticker = Ticker::new(period);
        let first = ticker.receiver().recv().unwrap();
        assert!(first >= begin + period);
        let mut last = first;
        for _ in 0..5 {
            let tick = ticker.receiver().recv().unwrap();
            assert!(tick > last);
            let phase = (tick - first).as_nanos() % period.as_nanos();
            let off = phase.min(period.as_nanos() - phase);
            assert!(off < 500_000, "{off} ns off its phase");
            last = tick;
        }
        sleep(period * 5);
        assert_eq!(ticker.receiver().len(), 1, "only the first of those missed");
    });
}

#[test]
fn earlier_ticks_are_not_received_after_a_ticker_stops_or_is_reset() {
    everywhere(|_| {
        let ticker = Ticker::new(Duration::from_micros(20));
        for i in 0..1_000 {
            ticker.reset(Duration::from_micros(20));
            let begin = Instant::now();
            while begin.elapsed() < ragged(i) {
                std::hint::spin_loop();
            }
            ticker.stop();
            assert_eq!(ticker.receiver().try_recv(), Err(TryRecvError::Empty));
            std::thread::yield_now();
            assert_eq!(ticker.receiver().try_recv(), Err(TryRecvError::Empty));
        }
        let begin = Instant::now();
        ticker.reset(MOMENT);
        assert!(ticker.receiver().recv().unwrap() >= begin + MOMENT);
    });
}

#[test]
#[should_panic(expected = "the period of a ticker must not be zero")]
fn ticker_of_period_zero_panics() {
    let _ = Ticker::new(Duration::ZERO);
}

#[test]
fn lengths_that_overflow_mean_for_ever() {
    everywhere(|way| {
        let timer = Timer::new(Duration::MAX);
        let ticker = Ticker::new(Duration::MAX);
        // An early wake would come with the next timer.
        sleep(MOMENT);
        way.let_others_run();
        assert_eq!(timer.receiver().try_recv(), Err(TryRecvError::Empty));
        assert_eq!(ticker.receiver().try_recv(), Err(TryRecvError::Empty));
        assert!(timer.stop());
        assert!(!timer.reset(Duration::ZERO));
        assert!(timer.receiver().recv().is_some());
    });
}

#[test]
fn after_sends_once_and_closes() {
    everywhere(|_| {
        let begin = Instant::now();
        let rx = after(MOMENT);
        assert!(rx.recv().unwrap() >= begin + MOMENT);
        assert_eq!(rx.recv(), None);
        drop(after(Duration::ZERO));
    });
}

#[test]
fn after_func_is_called_once_and_again_after_a_reset() {
    everywhere(|way| {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let begin = Instant::now();
        let after: AfterFunc = after_func(MOMENT, move || {
            assert!(begin.elapsed() >= MOMENT);
            counted.fetch_add(1, Ordering::AcqRel);
        });
        way.until(|| calls.load(Ordering::Acquire) == 1);
        assert!(!after.stop());
        assert!(!after.reset(MOMENT));
        way.until(|| calls.load(Ordering::Acquire) == 2);
        after.reset(LONG);
        assert!(after.stop());
        sleep(MOMENT);
        assert_eq!(calls.load(Ordering::Acquire), 2);
    });
}

/// The destructor waits for the goroutine that drops the handle, so it must not run in that
/// goroutine.
#[test]
fn values_of_an_after_func_are_not_dropped_with_the_handle() {
    struct Tells(Sender<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    everywhere(|way| {
        for stays in [true, false] {
            let (tx, rx) = chan(0);
            let calls = Arc::new(AtomicUsize::new(0));
            let (tells, counted) = (Tells(tx), calls.clone());
            let after = after_func(Duration::ZERO, move || {
                let _ = &tells;
                counted.fetch_add(1, Ordering::AcqRel);
            });
            if stays {
                way.until(|| calls.load(Ordering::Acquire) == 1);
                sleep(MOMENT);
            }
            drop(after);
            assert_eq!(rx.recv(), Some(()));
            assert_eq!(rx.recv(), None);
            assert_eq!(calls.load(Ordering::Acquire), 1);
        }
    });
}

#[test]
fn after_func_is_not_starved_by_a_busy_ping_pong() {
    everywhere(|way| {
        let ended = Arc::new(AtomicBool::new(false));
        let (ping, pinged) = chan(0);
        let (pong, ponged) = chan(0);
        let echo = way.go(move || {
            while pinged.recv().is_some() {
                pong.send(()).unwrap();
            }
        });
        let end = ended.clone();
        let _after = after_func(MOMENT, move || end.store(true, Ordering::Release));
        while !ended.load(Ordering::Acquire) {
            ping.send(()).unwrap();
            ponged.recv().unwrap();
        }
        drop(ping);
        echo.join();
    });
}

#[test]
fn timers_are_reset_and_stopped_by_many_at_once() {
    everywhere(|way| {
        let timer = Arc::new(Timer::new(Duration::ZERO));
        let tasks: Vec<_> = (0..8)
            .map(|i| {
                let timer = timer.clone();
                way.go(move || {
                    for round in 0..500 {
                        match (i + round) % 3 {
                            0 => {
                                timer.reset(ragged(round));
                            }
                            1 => {
                                timer.stop();
                            }
                            _ => {
                                let _ = timer.receiver().try_recv();
                            }
                        }
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|t| t.join());
        timer.reset(Duration::ZERO);
        assert!(timer.receiver().recv().is_some());
    });
}

#[test]
fn timeout_returns_the_result_or_elapsed_or_panics() {
    everywhere(|_| {
        assert_eq!(timeout(LONG, || "done"), Ok("done"));
        let begin = Instant::now();
        let (hold, held) = chan::<()>(0);
        let late = timeout(MOMENT, move || held.recv());
        assert!(matches!(late, Err(Elapsed { .. })));
        assert!(begin.elapsed() >= MOMENT);
        drop(hold);
        let panicked = std::panic::catch_unwind(|| timeout(LONG, || panic!("inside")));
        assert_eq!(message(&*panicked.unwrap_err()), "inside");
    });
}

#[test]
fn many_sleepers_all_wake_and_none_early() {
    everywhere(|way| {
        let count = way.count(64, 20_000);
        let begin = Instant::now();
        let sleepers: Vec<_> = (0..count)
            .map(|i| {
                way.go(move || {
                    let duration = MOMENT + ragged(i as u32) * 50;
                    sleep(duration);
                    assert!(begin.elapsed() >= duration);
                })
            })
            .collect();
        sleepers.into_iter().for_each(|s| s.join());
    });
}

#[test]
fn a_timer_or_ticker_that_is_dropped_closes_its_channel() {
    everywhere(|way| {
        let (timer, ticker) = (Timer::new(LONG), Ticker::new(LONG));
        let (tick, ticks) = (timer.receiver().clone(), ticker.receiver().clone());
        let waits = way.go(move || (tick.recv(), ticks.recv()));
        way.let_others_run();
        drop((timer, ticker));
        assert_eq!(waits.join(), (None, None));
    });
}
