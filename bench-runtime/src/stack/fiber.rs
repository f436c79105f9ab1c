//! Tells the sanitizers which stack a thread runs on. These functions are empty except in builds
//! for a sanitizer (`cfg(rt_tsan)`, `scripts/tsan.sh`; `cfg(rt_asan)`, `scripts/asan.sh`).
//!
//! The thread sanitizer orders events by *fiber*. Each stack is a fiber from the time that it is
//! bound until the last goroutine on it ends. Each switch between fibers is reported as the last
//! action on the old stack.
//!
//! | what the sanitizer cannot see          | what is reported to it                |
//! |----------------------------------------|---------------------------------------|
//! | a switch, between fibers of one thread | `switch_to_fiber`: the thread's actions on the old fiber come before those on the new one |
//! | the store of the saved context, which is assembly (see [`crate::arch`]) | a release of `context`: pairs with the Acquires of its readers |
//!
//! A goroutine that parks on a foreign stack ([`crate::goroutine::header`]) has no fiber to return
//! to: the sanitizer's builds cannot run such goroutines.
//!
//! The address sanitizer marks the bytes between variables. A panic clears these marks from its
//! frame to the upper bound of the stack, so the sanitizer is given the bounds of the next stack
//! before each switch. The last frames of a goroutine never return, so their marks are cleared
//! before the jump. On a foreign stack, whose bounds are not known, a panic clears nothing, and the
//! sanitizer prints that.

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

    #[derive(Debug, Default)]
    pub(crate) struct G0(());

    impl G0 {
        #[inline(always)]
        pub(crate) fn begin(&self) {}

        /// Called before a switch to the g0 stack. The switch saves the present context in
        /// `save`.
        #[inline(always)]
        pub(crate) fn leave_for(&self, _save: &AtomicUsize) {}

        /// Called before a jump to the g0 stack from a stack that is not used any more.
        #[inline(always)]
        pub(crate) fn end(&self) {}
    }

    #[inline(always)]
    pub(crate) fn begin(_header: &StackHeader) {}

    /// Called before a switch to a goroutine. The switch saves the present context in `save`.
    #[inline(always)]
    pub(crate) fn leave(_save: &AtomicUsize, _context: usize) {}

    /// Called before a jump to a goroutine from a stack that is not used any more.
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

    #[derive(Debug, Default)]
    pub(crate) struct G0(AtomicPtr<c_void>);

    impl G0 {
        pub(crate) fn begin(&self) {
            // SAFETY: reads the current fiber.
            let fiber = unsafe { __tsan_get_current_fiber() };
            self.0.store(fiber, Ordering::Relaxed);
        }

        #[inline(always)]
        pub(crate) fn leave_for(&self, save: &AtomicUsize) {
            switch(save, self.0.load(Ordering::Relaxed));
        }

        #[inline(always)]
        pub(crate) fn end(&self) {
            jump(self.0.load(Ordering::Relaxed));
        }
    }

    pub(crate) fn begin(header: &StackHeader) {
        // SAFETY: creates a fiber, which `jump` destroys.
        let fiber = unsafe { __tsan_create_fiber(0) };
        header.scratch.set(fiber as usize);
    }

    #[inline(always)]
    pub(crate) fn leave(save: &AtomicUsize, context: usize) {
        switch(save, fiber_of(context));
    }

    #[inline(always)]
    pub(crate) fn end(context: usize) {
        jump(fiber_of(context));
    }

    fn fiber_of(context: usize) -> *mut c_void {
        header_of(context).map_or(ptr::null_mut(), |header| {
            // SAFETY: slots are never unmapped, and by `ready_context` this one belongs to this
            // thread now.
            unsafe { header.as_ref() }.scratch.get() as *mut c_void
        })
    }

    // Inlined, as are all callers up to the switch: a function must return on the fiber on which it
    // was called.
    #[inline(always)]
    fn switch(save: &AtomicUsize, fiber: *mut c_void) {
        // SAFETY: `save` is an address. The fiber is that of the g0 stack, or of the stack that the
        // caller resumes next, which got a fiber when it was bound.
        unsafe {
            __tsan_release(save.as_ptr().cast());
            __tsan_switch_to_fiber(fiber, 0);
        }
    }

    #[inline(always)]
    fn jump(fiber: *mut c_void) {
        // SAFETY: as in `switch`; no thread continues on the present fiber.
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

    #[derive(Debug, Default)]
    pub(crate) struct G0 {
        bottom: AtomicUsize,
        size: AtomicUsize,
    }

    impl G0 {
        pub(crate) fn begin(&self) {
            let (bottom, size) = set_bounds(0, 0);
            set_bounds(bottom, size);
            self.bottom.store(bottom, Ordering::Relaxed);
            self.size.store(size, Ordering::Relaxed);
        }

        pub(crate) fn leave_for(&self, _save: &AtomicUsize) {
            set_bounds(
                self.bottom.load(Ordering::Relaxed),
                self.size.load(Ordering::Relaxed),
            );
        }

        pub(crate) fn end(&self) {
            clear();
            self.leave_for(&self.bottom);
        }
    }

    pub(crate) fn begin(_header: &StackHeader) {}

    pub(crate) fn leave(_save: &AtomicUsize, context: usize) {
        if let Some(header) = header_of(context) {
            let stack = Stack::from_header(header);
            set_bounds(stack.limit(), stack.usable());
        }
    }

    pub(crate) fn end(context: usize) {
        clear();
        leave(&AtomicUsize::new(0), context);
    }

    fn clear() {
        // SAFETY: clears marks, up to the bound that was reported.
        unsafe { __asan_handle_no_return() };
    }

    /// Reports the bounds of this thread's next stack, and returns the old ones.
    fn set_bounds(bottom: usize, size: usize) -> (usize, usize) {
        let mut save = ptr::null_mut();
        let mut old = (ptr::null(), 0);
        // SAFETY: sets this thread's bounds. `save` is for the sanitizer's fake stack of frames
        // that outlive their calls, which is switched off.
        unsafe {
            __sanitizer_start_switch_fiber(&raw mut save, ptr::without_provenance(bottom), size);
            __sanitizer_finish_switch_fiber(save, &raw mut old.0, &raw mut old.1);
        }
        (old.0.addr(), old.1)
    }
}
