//! SIGQUIT as something a thread can wait for.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use super::fork;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// The end that the handler writes to; -1 until there is one.
static WRITE_END: AtomicI32 = AtomicI32::new(-1);

/// The signals that have come.
#[derive(Debug)]
pub(crate) struct Signals(OwnedFd);

extern "C" fn on_quit(signal: libc::c_int) {
    if fork::is_child() {
        // The thread that waits is the parent's. What would have happened without us.
        // SAFETY: both may be called in a handler; it arrives when we return.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        return;
    }
    let fd = WRITE_END.load(Ordering::Relaxed);
    // SAFETY: write(2) may be called in a handler; the byte is static. errno
    // is put back, since the interrupted code may be about to read it.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        libc::write(fd, c"q".as_ptr().cast(), 1);
        *errno = saved;
    }
}

/// Catches SIGQUIT from now on; once a process.
pub(crate) fn watch() -> io::Result<Signals> {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // The handler must never block the thread it lands on.
    // SAFETY: the descriptor is ours and open.
    unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    WRITE_END.store(write.into_raw_fd(), Ordering::Relaxed);
    let action = SigAction::new(
        SigHandler::Handler(on_quit),
        SaFlags::SA_RESTART | SaFlags::SA_ONSTACK,
        SigSet::empty(),
    );
    // SAFETY: the handler only calls what is safe in one.
    unsafe { sigaction(Signal::SIGQUIT, &action) }?;
    Ok(Signals(read))
}

impl Signals {
    /// Waits for one; false if no more can come. Blocks the thread.
    pub(crate) fn wait(&self) -> bool {
        let mut byte = [0u8; 1];
        loop {
            match nix::unistd::read(&self.0, &mut byte) {
                Ok(n) => return n == 1,
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
    }
}
