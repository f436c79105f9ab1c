//! The cases of `select!`: their forms, operands and outcomes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bench_runtime::{Receiver, SendError, Sender, chan, select};

use crate::support::{Way, everywhere, message};

#[test]
fn operands_are_evaluated_once_in_order_also_of_cases_not_taken() {
    everywhere(|_| {
        let log = std::cell::RefCell::new(Vec::new());
        let note = |what: &'static str| log.borrow_mut().push(what);
        let (tx, rx) = chan(1);
        let (tx2, _rx2) = chan(0);
        tx.send(1).unwrap();
        select! {
            send({ note("channel 1"); &tx2 }, { note("value 1"); 1 }) => unreachable!(),
            recv({ note("channel 2"); &rx }) => note("arm"),
            send({ note("channel 3"); &tx2 }, { note("value 3"); 3 }) => unreachable!(),
            timeout({ note("limit"); Duration::from_secs(100) }) => unreachable!(),
        }
        assert_eq!(
            *log.borrow(),
            [
                "channel 1",
                "value 1",
                "channel 2",
                "channel 3",
                "value 3",
                "limit",
                "arm"
            ]
        );
    });
}

/// The receiver frees the sent box before the select continues: the select must not move it.
#[test]
fn a_sent_box_is_the_receivers_alone_once_it_is_received() {
    everywhere(|way| {
        let (tx, rx) = chan::<Box<usize>>(0);
        let receiver = way.go(move || (0..4).map(|_| *rx.recv().unwrap()).sum::<usize>());
        let (_open, never) = chan::<()>(0);
        let mut slot = None;
        for n in 0..4 {
            if n % 2 == 0 {
                select! {
                    send(tx, Box::new(n)) -> result => assert!(result.is_ok()),
                    recv(never) -> _ => unreachable!(),
                }
            } else {
                slot.replace(Box::new(n));
                select! {
                    send_from(tx, slot) -> result => assert!(result.is_ok()),
                    recv(never) -> _ => unreachable!(),
                }
                assert!(slot.is_none());
            }
        }
        assert_eq!(receiver.join(), 6);
    });
}

#[test]
fn a_value_that_was_not_sent_is_dropped_and_one_in_a_slot_stays() {
    everywhere(|_| {
        let (full, _rx) = chan(0);
        let value = std::rc::Rc::new(());
        select! {
            send(full, value.clone()) => unreachable!(),
            default => {}
        }
        assert_eq!(std::rc::Rc::strong_count(&value), 1);

        let (full, keep) = chan(0);
        let mut slot = Some("kept".to_owned());
        select! {
            send_from(full, slot) -> _ => unreachable!(),
            default => {}
        }
        assert_eq!(slot.as_deref(), Some("kept"));
        drop(keep);
        select! {
            send_from(full, slot) -> result => assert_eq!(result, Err(SendError(()))),
        }
        assert_eq!(slot.as_deref(), Some("kept"));
        let (open, rx) = chan(1);
        select! {
            send_from(open, slot) -> result => assert!(result.is_ok()),
        }
        assert_eq!((slot, rx.recv().as_deref()), (None, Some("kept")));
        // An empty slot disables its case.
        let mut empty = None::<String>;
        select! {
            send_from(open, empty) -> _ => unreachable!(),
            default => {}
        }
    });
}

#[test]
fn none_and_never_disable_a_case() {
    everywhere(|_| {
        let (tx, rx) = chan(2);
        tx.send(1).unwrap();
        let off_tx: Option<Sender<i32>> = None;
        let off_rx: Option<&Receiver<i32>> = None;
        let never = Receiver::<i32>::never();
        let got = select! {
            recv(off_rx) => unreachable!(),
            recv(never) => unreachable!(),
            send(off_tx, 1) => unreachable!(),
            send(Sender::never(), 1) => unreachable!(),
            recv(Some(&rx)) -> v => v,
        };
        assert_eq!(got, Some(1));
    });
}

#[test]
fn an_arm_may_set_its_own_channel_to_none() {
    everywhere(|_| {
        let (tx1, rx1) = chan(1);
        let (tx2, rx2) = chan(1);
        tx1.send(1).unwrap();
        tx2.send(2).unwrap();
        drop((tx1, tx2));
        let (mut rx1, mut rx2) = (Some(rx1), Some(rx2));
        let mut sum = 0;
        while rx1.is_some() || rx2.is_some() {
            select! {
                recv(rx1) -> v => match v {
                    Some(v) => sum += v,
                    None => rx1 = None,
                },
                recv(rx2) -> v => match v {
                    Some(v) => sum += v,
                    None => rx2 = None,
                },
            }
        }
        assert_eq!(sum, 3);
    });
}

#[test]
fn arms_may_return_break_continue_and_use_question_marks() {
    fn first(rx: &Receiver<Result<u8, String>>) -> Result<u8, String> {
        loop {
            select! {
                recv(rx) -> v => {
                    let Some(v) = v else { break };
                    let v = v?;
                    if v == 0 {
                        continue;
                    }
                    return Ok(v);
                }
            }
        }
        Err("closed".to_owned())
    }
    everywhere(|_| {
        let (tx, rx) = chan(3);
        for v in [Ok(0), Ok(5), Err("bad".to_owned())] {
            tx.send(v).unwrap();
        }
        drop(tx);
        assert_eq!(first(&rx), Ok(5));
        assert_eq!(first(&rx), Err("bad".to_owned()));
        assert_eq!(first(&rx), Err("closed".to_owned()));
    });
}

#[test]
fn an_arm_that_is_a_block_may_end_with_a_comma_or_without() {
    everywhere(|_| {
        let (tx, rx) = chan(1);
        for n in 0..3 {
            let mut taken = Vec::new();
            select! {
                send(tx, n) -> sent => { sent.unwrap(); taken.push("send"); },
                default => { taken.push("default"); },
            }
            select! {
                default => { taken.push("default"); },
                recv(rx) -> got => { assert_eq!(got, Some(n)); taken.push("recv"); },
            }
            select! {
                timeout(Duration::from_nanos(1)) => { taken.push("timeout"); },
                recv(rx) => { taken.push("recv"); }
            }
            assert_eq!(taken, ["send", "recv", "timeout"]);
        }
    });
}

#[test]
fn patterns_and_the_value_of_the_whole() {
    everywhere(|_| {
        let (tx, rx) = chan(1);
        tx.send((1, "one")).unwrap();
        let text = select! {
            recv(rx) -> pair => {
                let Some((n, name)) = pair else { panic!() };
                format!("{n} {name}")
            }
            timeout(Duration::from_secs(100)) => String::new()
        };
        assert_eq!(text, "1 one");
        let sent = select! {
            send(tx, (2, "two")) -> Ok(()) | Err(SendError(_)) => true,
        };
        assert!(sent);
    });
}

#[test]
fn an_unnamed_send_on_a_closed_channel_panics_as_in_go() {
    everywhere(|_| {
        let (tx, _rx) = chan(1);
        tx.close();
        let panic = catch_unwind(AssertUnwindSafe(|| {
            select! {
                send(tx, 1) => {}
                default => {}
            }
        }))
        .unwrap_err();
        assert!(message(&*panic).contains("send on a closed channel"));
    });
}

#[derive(Clone, Copy)]
enum Form {
    Plain,
    OneCase,
    TwoCases,
}

const FORMS: [Form; 3] = [Form::Plain, Form::OneCase, Form::TwoCases];

fn send_by(form: Form, tx: &Sender<i32>) {
    match form {
        Form::Plain => tx.send(1).unwrap(),
        Form::OneCase => select! { send(tx, 1) => {} },
        Form::TwoCases => select! {
            send(tx, 1) => {}
            recv(Receiver::<()>::never()) => unreachable!(),
        },
    }
}

fn recv_by(form: Form, rx: &Receiver<i32>) -> Option<i32> {
    match form {
        Form::Plain => rx.recv(),
        Form::OneCase => select! { recv(rx) -> v => v },
        Form::TwoCases => {
            let (_keep, other) = chan::<()>(0);
            select! {
                recv(rx) -> v => v,
                recv(other) => unreachable!(),
            }
        }
    }
}

#[test]
fn every_form_of_send_meets_every_form_of_recv() {
    everywhere(|way| {
        for send in FORMS {
            for recv in FORMS {
                for capacity in [0, 1] {
                    for sender_first in [false, true] {
                        meet(way, send, recv, capacity, sender_first);
                    }
                }
            }
        }
    });
}

fn meet(way: Way, send: Form, recv: Form, capacity: usize, sender_first: bool) {
    let (tx, rx) = chan(capacity);
    if sender_first {
        let sender = way.go(move || send_by(send, &tx));
        way.let_others_run();
        assert_eq!(recv_by(recv, &rx), Some(1));
        sender.join();
    } else {
        let receiver = way.go(move || recv_by(recv, &rx));
        way.let_others_run();
        send_by(send, &tx);
        assert_eq!(receiver.join(), Some(1));
    }
}

#[test]
fn every_form_of_recv_on_a_closed_channel_returns_none() {
    everywhere(|_| {
        for form in FORMS {
            for capacity in [0, 1] {
                let (tx, rx) = chan(capacity);
                tx.close();
                assert_eq!(recv_by(form, &rx), None);
            }
        }
    });
}

#[derive(Debug, PartialEq)]
enum Does {
    Go,
    Fail,
    Block,
}

#[test]
fn the_matrix_of_channel_states_and_operations() {
    everywhere(|_| {
        let send = |tx: &Sender<i32>| {
            select! {
                send(tx, 1) -> result => if result.is_ok() { Does::Go } else { Does::Fail },
                default => Does::Block,
            }
        };
        let recv = |rx: &Receiver<i32>| {
            select! {
                recv(rx) -> v => if v.is_some() { Does::Go } else { Does::Fail },
                default => Does::Block,
            }
        };
        assert_eq!(send(&Sender::never()), Does::Block, "nil");
        assert_eq!(recv(&Receiver::never()), Does::Block, "nil");
        let (tx, rx) = chan(0);
        assert_eq!(recv(&rx), Does::Block, "nobody sends");
        assert_eq!(send(&tx), Does::Block, "nobody receives");
        let (tx, rx) = chan(1);
        assert_eq!(recv(&rx), Does::Block, "empty");
        assert_eq!(send(&tx), Does::Go, "room");
        assert_eq!(send(&tx), Does::Block, "full");
        tx.close();
        assert_eq!(send(&tx), Does::Fail, "closed");
        assert_eq!(recv(&rx), Does::Go, "closed, not drained");
        assert_eq!(recv(&rx), Does::Fail, "closed, drained");
    });
}

#[test]
fn a_select_of_sixty_four_cases() {
    everywhere(|way| {
        let channels: Vec<(Sender<usize>, Receiver<usize>)> = (0..64).map(|_| chan(0)).collect();
        let (tx, rx): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
        let task = way.go(move || {
            let mut seen = Vec::new();
            for _ in 0..64 {
                macro_rules! all {
                    ($($n:literal)*) => {
                        select! { $(recv(rx[$n]) -> v => seen.push(($n, v)),)* }
                    };
                }
                all!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28
                     29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53
                     54 55 56 57 58 59 60 61 62 63);
            }
            seen
        });
        for (n, tx) in tx.iter().enumerate() {
            tx.send(n).unwrap();
        }
        assert!(task.join().into_iter().eq((0..64).map(|n| (n, Some(n)))));
    });
}
