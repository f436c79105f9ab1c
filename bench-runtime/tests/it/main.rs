//! The public API, exercised by plain threads and by goroutines alike.

mod chan;
mod chan_close;
mod chan_time;
mod context;
mod context_time;
mod net;
mod net_deadline;
mod not_send;
mod runtime;
mod select;
mod select_case;
mod select_dynamic;
mod select_race;
mod stack;
mod support;
mod sync_cond;
mod sync_err_group;
mod sync_mutex;
mod sync_once;
mod sync_pool;
mod sync_rw_mutex;
mod sync_semaphore;
mod sync_wait_group;
mod time;
