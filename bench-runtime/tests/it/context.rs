//! `Context`: cancelling, causes, values.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bench_runtime::context::{Cancel, Context, ContextError};
use bench_runtime::{TryRecvError, chan, select};

use crate::support::everywhere;

#[test]
fn the_background_never_ends() {
    everywhere(|_| {
        let ctx = Context::background();
        assert_eq!(ctx.done().try_recv(), Err(TryRecvError::Empty));
        assert_eq!((ctx.err(), ctx.deadline()), (None, None));
        assert!(ctx.cause().is_none());
        assert!(ctx.with_value(1_u8).err().is_none());
    });
}

#[test]
fn cancelling_a_parent_ends_all_below_it_and_nothing_above() {
    everywhere(|_| {
        let (root, _keep) = Context::background().with_cancel();
        let (parent, cancel) = root.with_cancel();
        let (child, _cancel_child) = parent.with_value("between").with_cancel();
        let value = child.with_value(7_u8);
        cancel.cancel();
        for ended in [&parent, &child, &value] {
            assert_eq!(ended.done().recv(), None);
            assert_eq!(ended.err(), Some(ContextError::Cancelled));
        }
        assert_eq!(root.err(), None);
        let (late, _cancel) = parent.with_cancel();
        assert_eq!(late.err(), Some(ContextError::Cancelled));
        assert!(late.done().is_closed());
    });
}

#[test]
fn cancelling_a_child_first_leaves_its_parent() {
    everywhere(|_| {
        let (parent, cancel) = Context::background().with_cancel();
        let (child, cancel_child) = parent.with_cancel();
        cancel_child.cancel();
        assert!(child.is_done());
        assert!(!parent.is_done());
        cancel.cancel();
        assert!(parent.is_done());
    });
}

#[test]
fn the_end_wakes_its_waiters() {
    everywhere(|way| {
        let (ctx, cancel) = Context::background().with_cancel();
        let (_never_sent, jobs) = chan::<()>(0);
        let tasks: Vec<_> = (0..10)
            .map(|n| {
                let (ctx, jobs) = (ctx.clone(), jobs.clone());
                way.go(move || {
                    if n % 2 == 0 {
                        assert_eq!(ctx.done().recv(), None);
                    } else {
                        select! {
                            recv(jobs) => unreachable!(),
                            recv(ctx.done()) -> end => assert_eq!(end, None),
                        }
                    }
                    ctx.err()
                })
            })
            .collect();
        way.let_others_run();
        cancel.cancel();
        for task in tasks {
            assert_eq!(task.join(), Some(ContextError::Cancelled));
        }
    });
}

#[test]
fn simultaneous_cancels_count_once() {
    everywhere(|way| {
        for _ in 0..50 {
            let (root, cancel_root) = Context::background().with_cancel();
            let mut contexts = vec![root.clone()];
            let mut cancels = vec![cancel_root];
            for _ in 0..6 {
                let (ctx, cancel) = root.with_cancel();
                let (below, cancel_below) = ctx.with_cancel();
                contexts.extend([ctx, below]);
                cancels.extend([cancel, cancel_below]);
            }
            let tasks: Vec<_> = cancels
                .into_iter()
                .enumerate()
                .map(|(n, cancel)| way.go(move || cancel.cancel_with(n.to_string())))
                .collect();
            tasks.into_iter().for_each(|task| task.join());
            for ctx in &contexts {
                assert_eq!(ctx.err(), Some(ContextError::Cancelled));
                let cause = ctx.cause().unwrap().to_string();
                assert_eq!(ctx.cause().unwrap().to_string(), cause);
            }
        }
    });
}

#[test]
fn interlocked_cancels_do_not_hang() {
    everywhere(|way| {
        let (parent, cancel_parent) = Context::background().with_cancel();
        let (child, cancel_child) = parent.with_cancel();
        let first = {
            let parent = parent.clone();
            way.go(move || {
                parent.done().recv();
                cancel_child.cancel();
            })
        };
        let second = {
            let child = child.clone();
            let cancel = cancel_parent.clone();
            way.go(move || {
                child.done().recv();
                cancel.cancel();
            })
        };
        cancel_parent.cancel();
        first.join();
        second.join();
    });
}

struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

#[test]
fn thirty_random_layers_keep_their_values_and_end_together() {
    everywhere(|_| {
        struct Key<const N: u64>(usize);
        for seed in 0..20 {
            let mut random = Sequence(seed);
            let mut ctx = Context::background();
            let mut cancels: Vec<Cancel> = Vec::new();
            let mut last = [None; 3];
            for layer in 0..30 {
                ctx = match random.below(5) {
                    0 => {
                        last[0] = Some(layer);
                        ctx.with_value(Key::<0>(layer))
                    }
                    1 => {
                        last[1] = Some(layer);
                        ctx.with_value(Key::<1>(layer))
                    }
                    2 => {
                        last[2] = Some(layer);
                        ctx.with_value(Key::<2>(layer))
                    }
                    3 => {
                        let (next, cancel) = ctx.with_cancel();
                        cancels.push(cancel);
                        next
                    }
                    _ => {
                        let hour = std::time::Duration::from_secs(3600);
                        let (next, cancel) = ctx.with_timeout(hour);
                        cancels.push(cancel);
                        next
                    }
                };
            }
            assert_eq!(ctx.value::<Key<0>>().map(|k| k.0), last[0]);
            assert_eq!(ctx.value::<Key<1>>().map(|k| k.0), last[1]);
            assert_eq!(ctx.value::<Key<2>>().map(|k| k.0), last[2]);
            assert_eq!(ctx.value::<String>(), None);
            assert!(!ctx.is_done());
            let which = random.below(cancels.len() as u64) as usize;
            cancels[which].cancel();
            assert_eq!(ctx.err(), Some(ContextError::Cancelled));
        }
    });
}

#[derive(Debug, thiserror::Error)]
#[error("disk {0} is full")]
struct DiskFull(u8);

#[test]
fn the_first_cause_counts_and_is_passed_down() {
    everywhere(|_| {
        let (parent, cancel) = Context::background().with_cancel();
        let (child, cancel_child) = parent.with_cancel();
        cancel.cancel_with(DiskFull(3));
        cancel.cancel_with("too late");
        cancel_child.cancel_with("too late");
        for ctx in [&parent, &child] {
            let cause: Arc<dyn Error + Send + Sync> = ctx.cause().unwrap();
            assert!(matches!(cause.downcast_ref(), Some(DiskFull(3))));
            assert_eq!(ctx.err(), Some(ContextError::Cancelled));
        }
        // Without a cause, `cause` is the error.
        let (plain, cancel) = Context::background().with_cancel();
        cancel.cancel();
        let cause = plain.cause().unwrap();
        assert_eq!(
            cause.downcast_ref::<ContextError>(),
            Some(&ContextError::Cancelled)
        );
    });
}

#[test]
fn without_cancel_keeps_the_values_and_does_not_end() {
    everywhere(|_| {
        let (parent, cancel) = Context::background().with_value("kept").with_cancel();
        let cut = parent.without_cancel();
        let (below, cancel_below) = cut.with_cancel();
        cancel.cancel();
        assert_eq!((cut.err(), below.err()), (None, None));
        assert_eq!(below.value::<&str>(), Some(&"kept"));
        cancel_below.cancel();
        assert!(below.is_done() && !cut.is_done());
    });
}

#[test]
fn an_after_func_runs_once_in_a_task_of_its_own() {
    everywhere(|_| {
        let (ctx, cancel) = Context::background().with_cancel();
        let (tx, rx) = chan(2);
        let call = ctx.after_func(move || tx.send(()).unwrap());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        cancel.cancel();
        cancel.cancel();
        // Dropping the function closes the channel.
        assert_eq!((rx.recv(), rx.recv()), (Some(()), None));
        assert!(!call.stop());
    });
}

#[test]
fn an_after_func_that_was_stopped_does_not_run() {
    everywhere(|_| {
        let (ctx, cancel) = Context::background().with_cancel();
        let (tx, rx) = chan::<()>(1);
        let call = ctx.after_func(move || tx.send(()).unwrap());
        assert!(call.stop());
        assert!(!call.stop());
        cancel.cancel();
        assert_eq!(rx.recv(), None);
    });
}

#[test]
fn an_after_func_of_an_ended_context_runs_at_once() {
    everywhere(|_| {
        let (ctx, cancel) = Context::background().with_cancel();
        cancel.cancel();
        let (tx, rx) = chan(1);
        let call = ctx.after_func(move || tx.send(1).unwrap());
        assert_eq!(rx.recv(), Some(1));
        assert!(!call.stop());
    });
}

#[test]
fn a_guard_cancels_at_the_end_of_its_block() {
    everywhere(|_| {
        let runs = AtomicUsize::new(0);
        let (ctx, cancel) = Context::background().with_cancel();
        {
            let _cancel = cancel.on_drop();
            runs.fetch_add(usize::from(!ctx.is_done()), Ordering::Relaxed);
        }
        assert!(ctx.is_done());
        assert_eq!(runs.into_inner(), 1);
    });
}

/// A recursion over so long a chain would overflow any stack.
const DEEP: usize = 300_000;

/// The context at the end of a chain of contexts, and the `Cancel`s of the last two.
fn chain(scopes: bool) -> (Context, Cancel, Cancel) {
    let (mut ctx, mut last) = Context::background().with_cancel();
    let mut before = last.clone();
    for step in 0..DEEP {
        if scopes {
            let (derived, cancel) = ctx.with_cancel();
            before = std::mem::replace(&mut last, cancel);
            ctx = derived;
        } else {
            ctx = ctx.with_value(step);
        }
    }
    (ctx, last, before)
}

#[test]
fn a_long_chain_is_freed_and_cancelled_without_recursion() {
    everywhere(|_| {
        let (values, ..) = chain(false);
        assert_eq!(values.value::<usize>(), Some(&(DEEP - 1)));
        drop(values);
        let (scopes, last, before) = chain(true);
        drop(scopes);
        drop((before, last));
        let (scopes, last, _) = chain(true);
        last.cancel();
        assert!(scopes.is_done());
        let (root, cancel) = Context::background().with_cancel();
        let mut ctx = root;
        for _ in 0..DEEP {
            ctx = ctx.with_cancel().0;
        }
        cancel.cancel();
        assert!(ctx.is_done());
    });
}
