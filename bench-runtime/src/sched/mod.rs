//! The scheduler. (Its design comment comes with its parts.)

pub(crate) mod api;
pub(crate) mod builder;
pub(crate) mod current;
pub(crate) mod deadlock;
pub(crate) mod dump;
pub(crate) mod find_runnable;
pub(crate) mod global_queue;
pub(crate) mod idle;
pub(crate) mod lock_thread;
pub(crate) mod machine;
pub(crate) mod park;
pub(crate) mod preempt;
pub(crate) mod processor;
pub(crate) mod ready;
pub(crate) mod run_loop;
pub(crate) mod run_queue;
pub(crate) mod runtime;
pub(crate) mod spawn;
pub(crate) mod stacks;
pub(crate) mod steal;
pub(crate) mod sysmon;
pub(crate) mod thread;
pub(crate) mod topology;

#[cfg(test)]
pub(crate) use park::current;
pub(crate) use park::{
    cancel_park, now_ns, own_waiter, park, park_until, prepare_park, ready, runtime,
};
