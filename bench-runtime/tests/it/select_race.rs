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
            // Ends held here, so that the task's end closes nothing.
            let (ours, held) = (rx2.clone(), rx1.clone());
            let task = way.go(move || {
                select! {
                    recv(held) => true,
                    recv(rx2) => true,
                    default => false,
                }
            });
            // Ready on 2 before no longer ready on 1.
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

#[test]
fn a_hundred_thousand_selects_do_not_grow_memory() {
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }
    everywhere(|way| {
        let (tx1, rx1) = chan::<usize>(0);
        let (tx2, rx2) = chan::<usize>(0);
        let (_keep, never) = chan::<usize>(0);
        let echo = way.go(move || {
            for n in rx1 {
                tx2.send(n).unwrap();
            }
        });
        let round = |n| {
            tx1.send(n).unwrap();
            select! {
                recv(rx2) -> v => assert_eq!(v, Some(n)),
                recv(never) => unreachable!(),
            }
        };
        let (rounds, warm) = (way.count(20_000, 100_000), 1_000);
        (0..warm).for_each(round);
        let before = resident();
        (0..rounds).for_each(round);
        // Other tests of this program run meanwhile: a leak of one waiter a
        // round would be twice this.
        let grown = resident().saturating_sub(before);
        assert!(grown < rounds * 50 + (8 << 20), "grown by {grown}");
        drop(tx1);
        echo.join();
    });
}
