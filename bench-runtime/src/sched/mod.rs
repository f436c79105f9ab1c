//! The scheduler. (Its design comment comes with its parts.)

pub(crate) mod park;
pub(crate) mod thread;

pub(crate) use park::{
    cancel_park, current, now_ns, own_waiter, park, park_until, prepare_park, ready, yield_now,
};
