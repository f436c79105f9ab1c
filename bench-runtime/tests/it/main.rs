//! The public API, used by plain threads and by goroutines.

#[cfg(rt_asan)]
mod address;
mod blocking;
mod chan;
mod chan_close;
mod chan_time;
mod context;
mod context_time;
mod fs;
mod future;
mod future_chan;
mod future_join;
mod future_wakes;
mod gives_way;
mod goker;
mod handle;
mod labels;
mod latency;
mod leaks;
mod net;
mod net_deadline;
mod net_descriptor;
mod net_readiness;
mod not_send;
mod outside;
mod powser;
#[path = "../pprof/mod.rs"]
mod pprof;
mod process;
mod profile;
#[cfg(rt_tsan)]
mod race;
mod run_borrows;
mod runtime;
mod sched_fairness;
mod sched_idle;
mod sched_run;
mod sched_support;
mod select;
mod select_case;
mod select_dynamic;
mod select_future;
mod select_race;
mod shutdown;
mod signal;
mod spread;
mod stack;
#[path = "../start/mod.rs"]
mod start;
mod support;
mod sync_cond;
mod sync_err_group;
mod sync_mutex;
mod sync_once;
mod sync_pool;
mod sync_rw_mutex;
mod sync_semaphore;
mod sync_wait_group;
mod synctest;
mod time;
mod trace;
