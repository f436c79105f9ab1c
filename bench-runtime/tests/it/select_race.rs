//! `default`, and races between `select!` and close.

use bench_runtime::{chan, select};

use crate::support::everywhere;

#[test]
fn default_is_not_taken_while_some_channel_is_ready_at_every_instant() {
    everywhere(|way| {
        for _ in 0..3_000 {
            let (tx1, rx1) = chan(1);
            let (tx2, rx2) = chan(1);
            tx1.send(1).unwrap();
            let (ours, held) = (rx2.clone(), rx1.clone());
            let task = way.go(move || {
                select! {
                    recv(held) => true,
                    recv(rx2) => true,
                    default => false,
                }
            });
            // Channel 2 is ready before channel 1 stops being ready.
            tx2.send(1).unwrap();
            select! {
                recv(rx1) => {}
                default => {}
            }
            assert!(task.join());
            drop(ours);
        }
    });
}

#[test]
fn default_is_not_taken_while_a_channel_closes_that_is_ready_either_way() {
    everywhere(|way| {
        for _ in 0..3_000 {
            let (tx1, rx1) = chan(1);
            let (tx2, rx2) = chan::<i32>(0);
            tx1.send(1).unwrap();
            let theirs = rx1.clone();
            let task = way.go(move || {
                select! {
                    recv(theirs) => true,
                    recv(rx2) => true,
                    default => false,
                }
            });
            tx2.close();
            select! {
                recv(rx1) => {}
                default => {}
            }
            assert!(task.join());
        }
    });
}

#[test]
fn default_is_taken_when_nothing_is_ready() {
    everywhere(|_| {
        let (tx, rx) = chan(0);
        let taken = select! {
            send(tx, 1) => "send",
            recv(rx) => "recv",
            default => "default",
        };
        assert_eq!(taken, "default");
        let alone = select! { default => 7 };
        assert_eq!(alone, 7);
    });
}
