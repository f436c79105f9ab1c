use std::ffi::c_void;
use std::sync::OnceLock;

/// A call at the end of a thread, after the destructors of its thread-locals, which may still use
/// the resource that the call frees.
pub(crate) struct AtEnd {
    /// `None`: the process has the maximum number of keys.
    key: OnceLock<Option<libc::pthread_key_t>>,
    then: unsafe extern "C" fn(*mut c_void),
}

impl AtEnd {
    pub(crate) const fn new(then: unsafe extern "C" fn(*mut c_void)) -> Self {
        Self {
            key: OnceLock::new(),
            then,
        }
    }

    /// Has `then` called with `data`, which must not be null, at the end of the calling thread.
    /// Replaces earlier data. Does nothing if the process has no key left.
    pub(crate) fn arm(&'static self, data: *mut c_void) {
        let key = *self.key.get_or_init(|| {
            let mut key = 0;
            // SAFETY: writes the key; the function lives for ever.
            (unsafe { libc::pthread_key_create(&raw mut key, Some(self.then)) } == 0).then_some(key)
        });
        if let Some(key) = key {
            // SAFETY: the key was made above and is never deleted.
            unsafe { libc::pthread_setspecific(key, data) };
        }
    }
}

/// Ends the calling thread without the destructors of its thread-locals, because other threads may
/// hold references into them.
pub(crate) fn end_without_destructors() -> ! {
    // glibc keeps the stack and the thread-locals of a thread that ends by the bare system call.
    // Other C libraries would keep the thread in their list, so there it sleeps until the process
    // ends.
    #[cfg(target_env = "gnu")]
    // SAFETY: ends this thread alone, and the kernel then frees only what it has made itself.
    unsafe {
        libc::syscall(libc::SYS_exit, 0);
    }
    loop {
        std::thread::park();
    }
}
