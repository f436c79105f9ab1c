//! How a server answers a request, for tasks with stacks and for tasks that are futures.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use crate::lane::Failure;

/// A computation that waits.
pub type Later<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Both forms of a handler. Both overwrite the request by the same answer, which is as long as the
/// request.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    /// For threads, processes, goroutines and coroutines: blocks its task.
    pub blocking: fn(&mut [u8], &dyn Waits),
    /// For tokio and smol.
    pub stackless: for<'a> fn(&'a mut [u8], &'a dyn AsyncWaits) -> Later<'a>,
}

/// How a handler waits: by its lane's own means, so other tasks continue.
pub trait Waits {
    /// Blocks the task for that long.
    fn sleep(&self, time: Duration);
}

/// [`Waits`] for tasks that are futures.
pub trait AsyncWaits: Sync {
    /// Waits for that long.
    fn sleep(&self, time: Duration) -> Later<'static>;
}

impl Handler {
    pub(crate) fn right(&self, request: &[u8]) -> Vec<u8> {
        struct Never;
        impl Waits for Never {
            fn sleep(&self, _: Duration) {}
        }
        let mut bytes = request.to_vec();
        (self.blocking)(&mut bytes, &Never);
        bytes
    }
}

/// The first panic of a handler in this process. It is the sample's error, because the load
/// generator only knows that a connection was closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panicked(Arc<OnceLock<Failure>>);

impl Panicked {
    /// False if `body` panicked.
    pub(crate) fn catch(&self, body: impl FnOnce()) -> bool {
        // `AssertUnwindSafe`: after a panic the connection is closed, and the request is not read
        // again.
        let result = catch_unwind(AssertUnwindSafe(body));
        result.map_err(|payload| self.record(payload)).is_ok()
    }

    pub(crate) async fn catch_future<'a>(&self, start: impl FnOnce() -> Later<'a>) -> bool {
        let mut later = None;
        if !self.catch(|| later = Some(start())) {
            return false;
        }
        let Some(mut later) = later else { return false };
        poll_fn(|context| {
            let mut polled = Poll::Pending;
            match self.catch(|| polled = later.as_mut().poll(context)) {
                true => polled.map(|()| true),
                false => Poll::Ready(false),
            }
        })
        .await
    }

    pub(crate) fn or(&self, other: Failure) -> Failure {
        self.0.get().cloned().unwrap_or(other)
    }

    fn record(&self, payload: Box<dyn std::any::Any + Send>) {
        let _ = self.0.set(Failure::from_panic(payload));
    }
}
