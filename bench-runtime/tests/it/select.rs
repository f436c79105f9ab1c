//! `select!` among several tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::{Receiver, Sender, chan, select};

use crate::support::everywhere;

#[test]
fn select_takes_the_case_that_becomes_ready() {
    everywhere(|way| {
        for second in [false, true] {
            let (tx1, rx1) = chan(0);
            let (tx2, rx2) = chan(0);
            let selector = way.go(move || {
                select! {
                    recv(rx1) -> v => ("first", v),
                    recv(rx2) -> v => ("second", v),
                }
            });
            way.let_others_run();
            if second {
                tx2.send(2).unwrap();
                assert_eq!(selector.join(), ("second", Some(2)));
            } else {
                tx1.send(1).unwrap();
                assert_eq!(selector.join(), ("first", Some(1)));
            }
        }
    });
}

#[test]
fn select_wakes_on_close() {
    everywhere(|way| {
        let (tx1, rx1) = chan::<u8>(0);
        let (tx2, rx2) = chan::<u8>(1);
        let selector = way.go(move || {
            select! {
                recv(rx1) -> v => v,
                recv(rx2) => unreachable!(),
            }
        });
        way.let_others_run();
        tx1.close();
        assert_eq!(selector.join(), None);
        drop(tx2);

        let (tx, rx) = chan(0);
        let sender = way.go(move || {
            select! {
                send(tx, "back") -> result => result,
            }
        });
        way.let_others_run();
        drop(rx);
        assert_eq!(sender.join().unwrap_err().0, "back");
    });
}

#[test]
fn a_select_that_sends_and_receives_on_one_channel_never_meets_itself() {
    everywhere(|way| {
        const ROUNDS: usize = 2_000;
        for capacity in [0, 10] {
            let (tx, rx) = chan::<usize>(capacity);
            let tasks: Vec<_> = (0..2)
                .map(|me| {
                    let (tx, rx) = (tx.clone(), rx.clone());
                    way.go(move || {
                        for n in 0..ROUNDS {
                            let got = if me == 0 || n % 2 == 0 {
                                select! {
                                    send(tx, me) => None,
                                    recv(rx) -> v => v,
                                }
                            } else {
                                select! {
                                    recv(rx) -> v => v,
                                    send(tx, me) => None,
                                }
                            };
                            if capacity == 0 {
                                assert_ne!(got, Some(me), "it met itself");
                            }
                        }
                    })
                })
                .collect();
            // In the last round a task may find no partner: this helper takes or sends its value.
            let stop = Arc::new(AtomicBool::new(false));
            let helper = {
                let stop = stop.clone();
                way.go(move || {
                    while !stop.load(Ordering::Relaxed) {
                        select! {
                            send(tx, 9) => {}
                            recv(rx) => {}
                            timeout(Duration::from_millis(1)) => {}
                        }
                    }
                })
            };
            tasks.into_iter().for_each(|task| task.join());
            stop.store(true, Ordering::Relaxed);
            helper.join();
        }
    });
}

#[test]
fn a_select_may_list_one_channel_twice() {
    everywhere(|way| {
        let (tx, rx) = chan(0);
        let task = way.go(move || {
            let mut got = Vec::new();
            for _ in 0..100 {
                select! {
                    recv(rx) -> v => got.extend(v),
                    recv(rx) -> v => got.extend(v),
                    recv(&rx) -> v => got.extend(v),
                }
            }
            got
        });
        for n in 0..100 {
            tx.send(n).unwrap();
        }
        assert!(task.join().into_iter().eq(0..100));
    });
}

#[test]
fn a_woken_select_leaves_nothing_behind_and_takes_nothing_of_others() {
    everywhere(|way| {
        let (tx_a, rx_a) = chan(0);
        let (tx_b, rx_b) = chan::<i32>(0);
        let plain = {
            let rx_b = rx_b.clone();
            way.go(move || rx_b.recv())
        };
        let selector = {
            let rx_b = rx_b.clone();
            way.go(move || {
                select! {
                    recv(rx_a) -> v => v,
                    recv(rx_b) => unreachable!(),
                }
            })
        };
        way.let_others_run();
        tx_a.send(1).unwrap();
        assert_eq!(selector.join(), Some(1));
        // The goroutine that still waits on b gets the value.
        tx_b.send(2).unwrap();
        assert_eq!(plain.join(), Some(2));
        assert!(tx_b.try_send(3).is_err());
    });
}

#[test]
fn ten_tasks_on_four_channels_keep_their_counts_balanced() {
    everywhere(|way| {
        const N: usize = 500;
        let pairs: Vec<(Sender<usize>, Receiver<usize>)> =
            [0, 0, 2, 3].into_iter().map(chan).collect();
        let (tx, rx): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let mut tasks = Vec::new();
        // Each channel has a plain sender and a plain receiver, and one of each by select.
        for k in 0..4 {
            let (tx, rx) = (tx[k].clone(), rx[k].clone());
            tasks.push(way.go(move || (0..N).for_each(|_| tx.send(0).unwrap())));
            tasks.push(way.go(move || (0..N).for_each(|_| assert!(rx.recv().is_some()))));
        }
        let theirs = tx;
        tasks.push(way.go(move || {
            let mut left = [N; 4];
            let on = |k: usize, left: &[usize; 4]| (left[k] > 0).then(|| &theirs[k]);
            for _ in 0..4 * N {
                select! {
                    send(on(3, &left), 0) => left[3] -= 1,
                    send(on(2, &left), 0) => left[2] -= 1,
                    send(on(0, &left), 0) => left[0] -= 1,
                    send(on(1, &left), 0) => left[1] -= 1,
                }
            }
            assert_eq!(left, [0; 4]);
        }));
        let theirs = rx;
        tasks.push(way.go(move || {
            let mut left = [N; 4];
            let on = |k: usize, left: &[usize; 4]| (left[k] > 0).then(|| &theirs[k]);
            for _ in 0..4 * N {
                select! {
                    recv(on(0, &left)) => left[0] -= 1,
                    recv(on(1, &left)) => left[1] -= 1,
                    recv(on(2, &left)) => left[2] -= 1,
                    recv(on(3, &left)) => left[3] -= 1,
                }
            }
            assert_eq!(left, [0; 4]);
        }));
        tasks.into_iter().for_each(|task| task.join());
    });
}

#[test]
fn two_ready_cases_are_picked_equally_often() {
    everywhere(|_| {
        const TRIALS: f64 = 10_000.0;
        let (tx1, rx1) = chan(TRIALS as usize + 1);
        let (tx2, rx2) = chan(TRIALS as usize + 1);
        for _ in 0..=TRIALS as usize {
            tx1.send(()).unwrap();
            tx2.send(()).unwrap();
        }
        let mut first = 0.0_f64;
        for _ in 0..TRIALS as usize {
            select! {
                recv(rx1) => first += 1.0,
                recv(rx2) => {}
            }
        }
        // Ten standard deviations of a fair coin.
        let sigma = (TRIALS * 0.25).sqrt();
        assert!((first - TRIALS / 2.0).abs() < 10.0 * sigma, "{first}");
    });
}

#[test]
fn each_choice_of_a_random_send_gets_its_share() {
    everywhere(|way| {
        let (tx, rx) = chan(0);
        let receiver = way.go(move || {
            let mut counts = [0; 4];
            for n in rx {
                let n: usize = n;
                counts[n] += 1;
            }
            counts
        });
        for _ in 0..10_000 {
            select! {
                send(tx, 0) => {}
                send(tx, 1) => {}
                send(tx, 2) => {}
                send(tx, 3) => {}
            }
        }
        drop(tx);
        let counts = receiver.join();
        assert_eq!(counts.iter().sum::<i32>(), 10_000);
        assert!(counts.iter().all(|&n| n > 1_000), "{counts:?}");
    });
}

/// If no partner waits yet, a partner that comes later chooses one of the waiters.
#[test]
fn each_case_that_waits_on_one_channel_gets_its_share() {
    const ROUNDS: usize = 200;
    // 200 rounds with a chance of a half each, less seven standard deviations.
    const LEAST: usize = 50;
    everywhere(|way| {
        let (tx, rx) = chan(0);
        let sender = way.go(move || {
            for _ in 0..ROUNDS {
                select! {
                    send(tx, 0) => {}
                    send(tx, 1) => {}
                }
            }
        });
        let mut sent = [0; 2];
        for _ in 0..ROUNDS {
            way.let_others_run();
            let n: usize = rx.recv().expect("it still sends");
            sent[n] += 1;
        }
        sender.join();
        assert!(sent.iter().all(|&n| n > LEAST), "{sent:?}");

        let (tx, rx) = chan(0);
        let receiver = way.go(move || {
            let mut taken = [0; 2];
            for _ in 0..ROUNDS {
                select! {
                    recv(rx) => taken[0] += 1,
                    recv(rx) => taken[1] += 1,
                }
            }
            taken
        });
        for _ in 0..ROUNDS {
            way.let_others_run();
            tx.send(()).expect("it still receives");
        }
        let taken = receiver.join();
        assert!(taken.iter().all(|&n| n > LEAST), "{taken:?}");
    });
}

#[test]
fn exactly_one_case_of_a_double_select_commits() {
    everywhere(|way| {
        const ROUNDS: usize = 3_000;
        let (a, from_a) = chan(0);
        let (b, from_b) = chan(0);
        let (c, from_c) = chan(0);
        let (d, from_d) = chan(0);
        let sender = way.go(move || {
            for n in 0..ROUNDS {
                select! {
                    send(a, n) => {}
                    send(b, n) => {}
                    send(c, n) => {}
                    send(d, n) => {}
                }
            }
        });
        let (out, results) = chan(0);
        let mut tasks = Vec::new();
        // The receivers select too, so several selects watch the cases of the sender's select.
        for (x, y) in [(from_a, from_b), (from_c, from_d)] {
            let out = out.clone();
            tasks.push(way.go(move || {
                loop {
                    let got = select! {
                        recv(x) -> v => v,
                        recv(y) -> v => v,
                    };
                    match got {
                        Some(n) => out.send(n).unwrap(),
                        None => return,
                    }
                }
            }));
        }
        drop(out);
        let mut seen: Vec<usize> = results.iter().collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..ROUNDS));
        sender.join();
        tasks.into_iter().for_each(|task| task.join());
    });
}

#[test]
fn a_losing_case_does_not_corrupt_the_queue() {
    everywhere(|way| {
        // The time-outs of the other case end some selects, while plain senders and receivers use
        // the channel.
        let (tx, rx) = chan::<usize>(0);
        let (_keep, never) = chan::<()>(0);
        let passers: Vec<_> = (0..3)
            .map(|_| {
                let (rx, never) = (rx.clone(), never.clone());
                way.go(move || {
                    let mut sum = 0;
                    loop {
                        select! {
                            recv(rx) -> v => match v {
                                Some(n) => sum += n,
                                None => return sum,
                            },
                            recv(never) => unreachable!(),
                            timeout(Duration::from_micros(5)) => {}
                        }
                    }
                })
            })
            .collect();
        let plain = way.go(move || rx.iter().take(500).sum::<usize>());
        for n in 0..4_000 {
            tx.send(n).unwrap();
        }
        drop(tx);
        let sum = plain.join() + passers.into_iter().map(|p| p.join()).sum::<usize>();
        assert_eq!(sum, (0..4_000).sum::<usize>());
    });
}

#[test]
fn a_timeout_ends_no_earlier_than_its_limit() {
    everywhere(|_| {
        let (_tx, rx) = chan::<()>(0);
        let limit = Duration::from_millis(5);
        let begin = Instant::now();
        select! {
            recv(rx) => unreachable!(),
            timeout(limit) => {}
        }
        assert!(begin.elapsed() >= limit);
        // Without any enabled case it is a sleep.
        let begin = Instant::now();
        select! {
            recv(None::<&Receiver<()>>) => unreachable!(),
            timeout(limit) => {}
        }
        assert!(begin.elapsed() >= limit);
    });
}

#[test]
fn many_parked_selects_are_each_woken_once_by_one_close() {
    everywhere(|way| {
        let tasks = way.count(50, 2_000);
        let (quit, done) = chan::<()>(0);
        let woken = Arc::new(AtomicUsize::new(0));
        let waiting: Vec<_> = (0..tasks)
            .map(|_| {
                let (done, woken) = (done.clone(), woken.clone());
                let (own, never) = chan::<()>(0);
                way.go(move || {
                    select! {
                        recv(never) => unreachable!(),
                        recv(done) -> v => assert_eq!(v, None),
                    }
                    woken.fetch_add(1, Ordering::Relaxed);
                    drop(own);
                })
            })
            .collect();
        way.let_others_run();
        quit.close();
        waiting.into_iter().for_each(|task| task.join());
        assert_eq!(woken.load(Ordering::Relaxed), tasks);
    });
}
