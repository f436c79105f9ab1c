//! Operations with a time limit.

use std::time::{Duration, Instant};

use bench_runtime::{RecvTimeoutError, SendTimeoutError, chan};

use crate::support::everywhere;

const MOMENT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(100);

#[test]
fn recv_timeout_ends_no_earlier_than_its_limit() {
    everywhere(|_| {
        for capacity in [0, 1] {
            let (_tx, rx) = chan::<u8>(capacity);
            let begin = Instant::now();
            assert_eq!(rx.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
            assert!(begin.elapsed() >= MOMENT);
            let limit = Instant::now() + MOMENT;
            assert_eq!(rx.recv_deadline(limit), Err(RecvTimeoutError::Timeout));
            assert!(Instant::now() >= limit);
        }
    });
}

#[test]
fn send_timeout_gives_the_value_back_no_earlier_than_its_limit() {
    everywhere(|_| {
        let (tx, rx) = chan(1);
        tx.send(1).unwrap();
        let begin = Instant::now();
        assert_eq!(
            tx.send_timeout(2, MOMENT),
            Err(SendTimeoutError::Timeout(2))
        );
        assert!(begin.elapsed() >= MOMENT);
        assert_eq!(
            tx.send_deadline(3, Instant::now()),
            Err(SendTimeoutError::Timeout(3))
        );
        assert_eq!(rx.recv(), Some(1));
        assert_eq!(tx.try_send(4), Ok(()));
        assert_eq!(rx.recv(), Some(4));
    });
}

#[test]
fn timed_forms_meet_each_other() {
    everywhere(|way| {
        for capacity in [0, 1] {
            let (tx, rx) = chan(capacity);
            let sender = way.go(move || {
                for n in 0..500 {
                    tx.send_timeout(n, LONG).unwrap();
                }
            });
            for n in 0..500 {
                assert_eq!(rx.recv_timeout(LONG), Ok(n));
            }
            assert_eq!(rx.recv_timeout(LONG), Err(RecvTimeoutError::Closed));
            sender.join();
        }
    });
}

#[test]
fn a_limit_that_overflows_is_no_limit() {
    everywhere(|way| {
        let (tx, rx) = chan(0);
        let receiver = way.go(move || rx.recv_timeout(Duration::MAX));
        way.let_others_run();
        tx.send_timeout(1, Duration::MAX).unwrap();
        assert_eq!(receiver.join(), Ok(1));
    });
}

#[test]
fn a_send_racing_a_time_out_arrives_or_comes_back() {
    everywhere(|way| {
        for capacity in [0, 1] {
            let (tx, rx) = chan(capacity);
            let receiver = way.go(move || {
                let mut seen = Vec::new();
                loop {
                    match rx.recv_timeout(Duration::from_micros(20)) {
                        Ok(n) => seen.push(n),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Closed) => return seen,
                    }
                }
            });
            let mut sent = Vec::new();
            for n in 0..2_000 {
                match tx.send_timeout(n, Duration::from_micros(n % 40)) {
                    Ok(()) => sent.push(n),
                    Err(SendTimeoutError::Timeout(back)) => assert_eq!(back, n),
                    Err(SendTimeoutError::Closed(_)) => unreachable!("the receiver goes on"),
                }
            }
            drop(tx);
            assert_eq!(receiver.join(), sent);
        }
    });
}
