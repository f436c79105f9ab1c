//! The operating system: one file for each concept.

pub(crate) mod address_marks;
pub(crate) mod affinity;
pub(crate) mod barrier;
pub(crate) mod cgroup;
#[cfg(test)]
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod event_fd;
pub(crate) mod fd;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod madvise;
pub(crate) mod map;
pub(crate) mod memory;
pub(crate) mod modules;
pub(crate) mod notice;
pub(crate) mod own_memory;
pub(crate) mod poller;
pub(crate) mod process;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod thread;
pub(crate) mod thread_end;
pub(crate) mod topology;
pub(crate) mod transfer;
pub(crate) mod userfault;
