//! Reports of stacks to the sanitizers: nothing, and no instruction, except in
//! their own builds (`cfg(rt_tsan)`, `scripts/tsan.sh`; `cfg(rt_asan)`,
//! `scripts/asan.sh`).
//!
//! The thread sanitizer orders events by *fiber*, and has one for each thread. So each
//! goroutine's stack in use is a fiber too: made when the stack is bound, reported at each
//! switch as the last action on the old stack, destroyed with the last goroutine on the
//! stack.
//!
//! | what it cannot see                     | what is reported to it                |
//! |----------------------------------------|---------------------------------------|
//! | a switch, between fibers of one thread | `switch_to_fiber`: what this thread did on the one comes before what it does on the other |
//! | the store of the saved context, which is the switch's own (see [`crate::arch`]) | a release of `context`: pairs with the Acquires of its readers |
//!
//! Goroutines that follow each other on one stack share its fiber, which only means
//! that they followed each other on one thread. One that parks on a stack which is none
//! of ours ([`crate::goroutine::header`]) has no fiber to come back to: the sanitizer's
//! builds cannot run those.
//!
//! The address sanitizer keeps the bounds of each thread's stack, and which bytes
//! between variables must not be touched. A panic clears these marks from its
//! frame to the upper bound. So it gets the bounds of the next stack before each
//! switch. Frames that never return, because their stack is no longer used, leave
//! marks that the next goroutine on the stack would meet: they are cleared before
//! the jump. If bounds are not known (a foreign stack) the old ones stay, and the
//! sanitizer prints at a panic that it clears nothing.

#[cfg(rt_asan)]
pub(crate) use asan::{G0, begin, end, leave};
#[cfg(not(any(rt_tsan, rt_asan)))]
pub(crate) use plain::{G0, begin, end, leave};
#[cfg(rt_tsan)]
pub(crate) use tsan::{G0, begin, end, leave};

#[cfg(not(any(rt_tsan, rt_asan)))]
mod plain {
    use std::sync::atomic::AtomicUsize;

    use crate::stack::StackHeader;

    /// The fiber of an M's own stack.
    #[derive(Debug, Default)]
    pub(crate) struct G0(());

    impl G0 {
        /// By the M's thread, on its own stack.
        #[inline(always)]
        pub(crate) fn begin(&self) {}

        /// Ahead of a switch to the g0 stack that leaves its context in `save`.
        #[inline(always)]
        pub(crate) fn leave_for(&self, _save: &AtomicUsize) {}

        /// Ahead of a jump to the g0 stack from a stack that is done with.
        #[inline(always)]
        pub(crate) fn end(&self) {}
    }

    /// For a stack that was just bound.
    #[inline(always)]
    pub(crate) fn begin(_header: &StackHeader) {}

    /// Ahead of a switch to a goroutine that leaves its own context in `save`.
    #[inline(always)]
    pub(crate) fn leave(_save: &AtomicUsize, _context: usize) {}

    /// Ahead of a jump to a goroutine from a stack that is done with.
    #[inline(always)]
    pub(crate) fn end(_context: usize) {}
}

#[cfg(rt_tsan)]
mod tsan {
    use std::ffi::{c_uint, c_void};
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

    use crate::stack::{StackHeader, header_of};

    // tsan_interface.h of LLVM's compiler-rt.
    unsafe extern "C" {
        fn __tsan_get_current_fiber() -> *mut c_void;
        fn __tsan_create_fiber(flags: c_uint) -> *mut c_void;
        fn __tsan_destroy_fiber(fiber: *mut c_void);
        fn __tsan_switch_to_fiber(fiber: *mut c_void, flags: c_uint);
        fn __tsan_release(address: *mut c_void);
    }

    /// The fiber of an M's own stack.
    #[derive(Debug, Default)]
    pub(crate) struct G0(AtomicPtr<c_void>);

    impl G0 {
        /// By the M's thread, on its own stack.
        pub(crate) fn begin(&self) {
            // SAFETY: asks only.
            let fiber = unsafe { __tsan_get_current_fiber() };
            self.0.store(fiber, Ordering::Relaxed);
        }

        /// Ahead of a switch to the g0 stack that leaves its context in `save`.
        #[inline(always)]
        pub(crate) fn leave_for(&self, save: &AtomicUsize) {
            switch(save, self.0.load(Ordering::Relaxed));
        }

        /// Ahead of a jump to the g0 stack from a stack that is done with.
        #[inline(always)]
        pub(crate) fn end(&self) {
            jump(self.0.load(Ordering::Relaxed));
        }
    }

    /// For a stack that was just bound.
    pub(crate) fn begin(header: &StackHeader) {
        // SAFETY: makes a new one, which `jump` ends.
        let fiber = unsafe { __tsan_create_fiber(0) };
        header.scratch.set(fiber as usize);
    }

    /// Ahead of a switch to a goroutine that leaves its own context in `save`.
    #[inline(always)]
    pub(crate) fn leave(save: &AtomicUsize, context: usize) {
        switch(save, fiber_of(context));
    }

    /// Ahead of a jump to a goroutine from a stack that is done with.
    #[inline(always)]
    pub(crate) fn end(context: usize) {
        jump(fiber_of(context));
    }

    fn fiber_of(context: usize) -> *mut c_void {
        header_of(context).map_or(ptr::null_mut(), |header| {
            // SAFETY: slots are never unmapped, and by `ready_context` this one
            // belongs to this thread now.
            unsafe { header.as_ref() }.scratch.get() as *mut c_void
        })
    }

    // Inlined, as all that calls them up to the switch: what is called returns
    // to the fiber that it was called from.
    #[inline(always)]
    fn switch(save: &AtomicUsize, fiber: *mut c_void) {
        // SAFETY: `save` is an address; the fiber is that of the stack that the
        // caller resumes next, which got one when it was bound, or of the g0
        // stack.
        unsafe {
            __tsan_release(save.as_ptr().cast());
            __tsan_switch_to_fiber(fiber, 0);
        }
    }

    #[inline(always)]
    fn jump(fiber: *mut c_void) {
        // SAFETY: as in `switch`; no thread continues on the fiber that we are on.
        unsafe {
            let own = __tsan_get_current_fiber();
            __tsan_switch_to_fiber(fiber, 0);
            __tsan_destroy_fiber(own);
        }
    }
}

#[cfg(rt_asan)]
mod asan {
    use std::ffi::c_void;
    use std::ptr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::stack::{Stack, StackHeader, header_of};

    // asan_interface.h and common_interface_defs.h of LLVM's compiler-rt.
    unsafe extern "C" {
        fn __asan_handle_no_return();
        fn __sanitizer_start_switch_fiber(
            save: *mut *mut c_void,
            bottom: *const c_void,
            size: usize,
        );
        fn __sanitizer_finish_switch_fiber(
            saved: *mut c_void,
            bottom: *mut *const c_void,
            size: *mut usize,
        );
    }

    /// The bounds of an M's own stack: its lowest address, and bytes.
    #[derive(Debug, Default)]
    pub(crate) struct G0 {
        bottom: AtomicUsize,
        size: AtomicUsize,
    }

    impl G0 {
        /// By the M's thread, on its own stack.
        pub(crate) fn begin(&self) {
            let (bottom, size) = tell(0, 0);
            tell(bottom, size);
            self.bottom.store(bottom, Ordering::Relaxed);
            self.size.store(size, Ordering::Relaxed);
        }

        /// Ahead of a switch to the g0 stack that leaves its context in `save`.
        pub(crate) fn leave_for(&self, _save: &AtomicUsize) {
            tell(
                self.bottom.load(Ordering::Relaxed),
                self.size.load(Ordering::Relaxed),
            );
        }

        /// Ahead of a jump to the g0 stack from a stack that is done with.
        pub(crate) fn end(&self) {
            clear();
            self.leave_for(&self.bottom);
        }
    }

    /// For a stack that was just bound.
    pub(crate) fn begin(_header: &StackHeader) {}

    /// Ahead of a switch to a goroutine that leaves its own context in `save`.
    pub(crate) fn leave(_save: &AtomicUsize, context: usize) {
        if let Some(header) = header_of(context) {
            let stack = Stack::from_header(header);
            tell(stack.limit(), stack.usable());
        }
    }

    /// Ahead of a jump to a goroutine from a stack that is done with.
    pub(crate) fn end(context: usize) {
        clear();
        leave(&AtomicUsize::new(0), context);
    }

    /// Clears the marks of all frames of the stack that we are on.
    fn clear() {
        // SAFETY: clears marks, up to the bound that was reported.
        unsafe { __asan_handle_no_return() };
    }

    /// Reports the bounds of this thread's next stack, and returns the old ones.
    fn tell(bottom: usize, size: usize) -> (usize, usize) {
        let mut save = ptr::null_mut();
        let mut old = (ptr::null(), 0);
        // SAFETY: sets this thread's bounds; what is saved and restored at once is
        // its store of frames that outlive their calls, which is switched off.
        unsafe {
            __sanitizer_start_switch_fiber(&raw mut save, ptr::without_provenance(bottom), size);
            __sanitizer_finish_switch_fiber(save, &raw mut old.0, &raw mut old.1);
        }
        (old.0.addr(), old.1)
    }
}
