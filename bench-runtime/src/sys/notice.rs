//! Signals: a handler notes each signal for one thread, which waits for them.
//!
//! | what                    | does                                                        |
//! |-------------------------|-------------------------------------------------------------|
//! | handler, on any thread  | sets the signal's bit in [`NOTED`], then writes to the eventfd |
//! | the thread that waits   | empties the eventfd, then takes all bits                    |
//!
//! The handler writes after it has set a bit, so no bit is missed. If the thread takes the bit
//! before the handler writes, the write wakes it once for nothing. A signal that comes again before its bit was taken is
//! merged with the first, as in the kernel.
//!
//! `signalfd` is not used, because every thread of the process, also of other code, would have to
//! block the signal.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::event_fd::EventFd;
use super::fd;

static NOTED: AtomicU64 = AtomicU64::new(0);
/// -1 until there is an eventfd.
static WAKE: AtomicI32 = AtomicI32::new(-1);
/// The process whose thread waits. A child by fork has the handler, but not the thread. The handler
/// compares the number, because [`super::fork`] detects a fork a little late.
static PROCESS: AtomicI32 = AtomicI32::new(-1);

pub(crate) const LARGEST: i32 = 64;

/// For a signal from 1 to [`LARGEST`].
pub(crate) const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

#[derive(Clone, Copy)]
pub(crate) struct Action(libc::sigaction);

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Action").field(&self.0.sa_sigaction).finish()
    }
}

impl Action {
    fn of(signal: i32) -> io::Result<Self> {
        let mut now = MaybeUninit::uninit();
        // SAFETY: reads the current action and changes nothing.
        match unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) } {
            // SAFETY: the kernel has filled it in.
            0 => Ok(Self(unsafe { now.assume_init() })),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// # Safety
    ///
    /// A handler in the action makes only calls that are allowed in a handler.
    unsafe fn set(&self, signal: i32) -> io::Result<()> {
        // SAFETY: the pointer is to a whole action, and the caller promises that its handler makes
        // only allowed calls.
        match unsafe { libc::sigaction(signal, &raw const self.0, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn new(handler: usize, flags: libc::c_int) -> Self {
        // SAFETY: all zeros is a valid action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        Self(action)
    }

    fn is_ours(&self) -> bool {
        self.0.sa_sigaction == on_signal as *const () as usize
    }
}

extern "C" fn on_signal(signal: libc::c_int) {
    // SAFETY: getpid(2), write(2), sigaction(2) and kill(2) may be called in a handler; the number
    // written is read during the call. errno is put back, since the interrupted code may be about
    // to read it.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        if libc::getpid() == PROCESS.load(Ordering::Relaxed) {
            // Release: pairs with the Acquire in `wait`.
            NOTED.fetch_or(bit(signal), Ordering::Release);
            let one = 1u64;
            libc::write(WAKE.load(Ordering::Relaxed), (&raw const one).cast(), 8);
        } else if Action::new(libc::SIG_DFL, 0).set(signal).is_ok() {
            // This is the child of a fork. The default action, as after exec, happens when this
            // handler returns and the signal is unblocked.
            libc::kill(libc::getpid(), signal);
        }
        *errno = saved;
    }
}

#[derive(Debug)]
pub(crate) struct Noted(EventFd);

/// True if this process has a [`Noted`]; false if only a process from which it was forked has one.
pub(crate) fn is_open() -> bool {
    PROCESS.load(Ordering::Relaxed) == std::process::id().cast_signed()
}

/// To be called once a process, before the first [`catch`].
pub(crate) fn open() -> io::Result<Noted> {
    let wake = EventFd::new()?;
    WAKE.store(wake.as_raw_fd(), Ordering::Relaxed);
    PROCESS.store(std::process::id().cast_signed(), Ordering::Relaxed);
    Ok(Noted(wake))
}

impl Noted {
    /// Waits for signals; returns their bits. Blocks the thread.
    pub(crate) fn wait(&self) -> u64 {
        loop {
            // Acquire: pairs with the Release in the handler.
            let noted = NOTED.swap(0, Ordering::Acquire);
            if noted != 0 {
                return noted;
            }
            // An error is a lack of memory, which passes.
            let _ = fd::wait(self.0.as_fd(), false, false, None, None);
            self.0.clear();
        }
    }
}

impl Drop for Noted {
    /// Runs only if the thread that should wait could not be started.
    fn drop(&mut self) {
        PROCESS.store(-1, Ordering::Relaxed);
        WAKE.store(-1, Ordering::Relaxed);
    }
}

/// Receives a signal from now on. Returns the former action.
pub(crate) fn catch(signal: i32) -> io::Result<Action> {
    let former = Action::of(signal)?;
    let handler = on_signal as *const () as usize;
    let mut caught = Action::new(handler, libc::SA_RESTART | libc::SA_ONSTACK);
    // The handler blocks all signals, so that handlers do not nest: std's signal stacks have room
    // for only two or three if vector registers are large. SAFETY: fills in a set that is ours.
    unsafe { libc::sigfillset(&raw mut caught.0.sa_mask) };
    // SAFETY: the handler makes only calls that are allowed in one.
    unsafe { caught.set(signal) }?;
    Ok(former)
}

/// Restores the former action of a signal, unless other code has changed it meanwhile.
pub(crate) fn let_go(signal: i32, former: &Action) {
    if Action::of(signal).is_ok_and(|now| now.is_ours()) {
        // SAFETY: this was the action before.
        let _ = unsafe { former.set(signal) };
    }
}

pub(crate) fn is_ignored(signal: i32) -> io::Result<bool> {
    Ok(Action::of(signal)?.0.sa_sigaction == libc::SIG_IGN)
}

pub(crate) fn unblock_all() {
    // SAFETY: an empty set of signals is made, and becomes the thread's mask.
    unsafe {
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}
