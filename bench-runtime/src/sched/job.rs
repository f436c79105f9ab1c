//! A job of a helper thread: see [`super::helpers`].

use crate::goroutine::Parkable;
use crate::threads::idle::IdleThreads;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// The helper calls it once, with `data`. Does not unwind. Returns the parkable that waits
    /// for the job. The helper readies it, and then `data` may be freed.
    pub(crate) run: unsafe fn(*mut ()) -> Option<Parkable>,
    pub(crate) data: *mut (),
}

// SAFETY: the maker of a job promises that another thread may run it.
unsafe impl Send for Job {}

/// The helpers of a runtime that have no job.
pub(crate) type Helpers = IdleThreads<Job>;
