//! The poller of futures that wait for a descriptor outside every goroutine: a thread, which the
//! first such wait starts.

use std::io;
use std::sync::OnceLock;

use crate::goroutine::Parkable;
use crate::netpoll::Netpoll;
use crate::sched::readied;
use crate::sys::fork;
use crate::util::lock::Lock;

static NETPOLL: OnceLock<Netpoll> = OnceLock::new();

/// Fails if the process has no descriptor or thread left, and in the child of a fork, which does
/// not have the poller's thread.
pub(super) fn netpoll() -> io::Result<&'static Netpoll> {
    static STARTING: Lock<()> = Lock::new(());
    if fork::is_child() {
        return Err(io::Error::other(
            "this is the child of a fork, and the thread that waits for descriptors is the parent's",
        ));
    }
    if let Some(netpoll) = NETPOLL.get() {
        return Ok(netpoll);
    }
    let _guard = STARTING.lock();
    if let Some(netpoll) = NETPOLL.get() {
        return Ok(netpoll);
    }
    fork::watch();
    let netpoll = Netpoll::new()?;
    std::thread::Builder::new()
        .name("threadbare-poll".into())
        .stack_size(256 << 10)
        .spawn(wake_for_ever)?;
    Ok(NETPOLL.get_or_init(|| netpoll))
}

fn wake_for_ever() {
    let netpoll = NETPOLL.wait();
    let mut ready: Vec<Parkable> = Vec::new();
    loop {
        netpoll.poll(None, &mut ready);
        readied::ready_all(ready.drain(..));
    }
}
