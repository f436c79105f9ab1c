//! `Context`: deadlines.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use bench_runtime::Runtime;
use bench_runtime::context::{Context, ContextError};

use crate::start::Start;
use crate::support::everywhere;

const MOMENT: Duration = Duration::from_millis(5);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_timeout_ends_the_context_and_those_below_no_earlier_than_that() {
    everywhere(|_| {
        let begin = Instant::now();
        let (ctx, _cancel) = Context::background().with_timeout(MOMENT);
        let (below, _cancel_below) = ctx.with_cancel();
        assert_eq!(below.done().recv(), None);
        assert!(begin.elapsed() >= MOMENT);
        for ended in [&ctx, &below] {
            ended.done().recv();
            assert_eq!(ended.err(), Some(ContextError::DeadlineExceeded));
        }
    });
}

#[test]
fn a_deadline_in_the_past_ends_the_context_at_once() {
    everywhere(|_| {
        let (ctx, _cancel) = Context::background().with_deadline(Instant::now());
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
        let (ctx, _cancel) = Context::background().with_timeout(Duration::ZERO);
        assert!(ctx.done().is_closed());
    });
}

#[test]
fn a_context_has_the_earlier_deadline_of_its_own_and_its_parents() {
    everywhere(|_| {
        let (outer, _cancel) = Context::background().with_timeout(MOMENT);
        let (inner, _cancel_inner) = outer.with_timeout(HOUR);
        assert_eq!(inner.deadline(), outer.deadline());
        inner.done().recv();
        assert_eq!(inner.err(), Some(ContextError::DeadlineExceeded));

        let (outer, _cancel) = Context::background().with_timeout(HOUR);
        let (inner, _cancel_inner) = outer.with_value(1_u8).with_timeout(MOMENT);
        assert!(inner.deadline() < outer.deadline());
        inner.done().recv();
        assert_eq!(outer.err(), None);
    });
}

#[test]
fn a_cancel_before_the_deadline_counts() {
    everywhere(|_| {
        let (ctx, cancel) = Context::background().with_timeout(HOUR);
        assert!(ctx.deadline().is_some());
        cancel.cancel();
        assert_eq!(ctx.err(), Some(ContextError::Cancelled));
    });
}

#[test]
fn a_timeout_that_overflows_sets_no_deadline() {
    everywhere(|_| {
        let (ctx, cancel) = Context::background().with_timeout(Duration::MAX);
        assert_eq!((ctx.deadline(), ctx.err()), (None, None));
        cancel.cancel();
        assert!(ctx.is_done());
    });
}

#[test]
fn a_timeout_may_have_a_cause_of_its_own() {
    everywhere(|_| {
        let (ctx, _cancel) = Context::background().with_timeout_cause(MOMENT, "too slow");
        ctx.done().recv();
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
        assert_eq!(ctx.cause().unwrap().to_string(), "too slow");
    });
}

#[test]
fn without_cancel_has_no_deadline() {
    everywhere(|_| {
        let (ctx, _cancel) = Context::background().with_timeout(HOUR);
        assert_eq!(ctx.without_cancel().deadline(), None);
    });
}

#[cfg(not(miri))]
#[test]
fn contexts_of_a_runtime_that_has_stopped_end_all_the_same_and_run_their_functions() {
    let builders = [
        Runtime::builder(),
        Runtime::builder().migrating(),
        Runtime::builder().fake_time(),
    ];
    for builder in builders {
        let runtime = builder.procs(1).start().unwrap();
        let (tell, told) = mpsc::channel();
        let (late, ctx, cancel) = runtime.run(move || {
            let (late, _) = Context::background().with_timeout(20 * MOMENT);
            let (ctx, cancel) = Context::background().with_cancel();
            for ctx in [late.clone(), ctx.clone()] {
                let (tell, ends) = (tell.clone(), ctx.clone());
                ctx.after_func(move || tell.send(ends.err()).unwrap());
            }
            (late, ctx, cancel)
        });
        drop(runtime);
        cancel.cancel();
        let mut ends = [(); 2].map(|()| told.recv_timeout(HOUR / 60).unwrap());
        ends.sort_by_key(|end| *end == Some(ContextError::DeadlineExceeded));
        let expected = [ctx.err(), late.err()];
        assert_eq!(ends, expected);
        assert_eq!(
            expected,
            [
                Some(ContextError::Cancelled),
                Some(ContextError::DeadlineExceeded)
            ]
        );
    }
}
