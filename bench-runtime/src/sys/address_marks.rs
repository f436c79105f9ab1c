//! The marks of the address sanitizer (`cfg(rt_asan)`): bytes that must not be touched.

/// Clears the marks that the frames of a stack have set, before the whole stack is read. Does
/// nothing in other builds.
#[inline(always)]
pub(crate) fn clear(_address: usize, _bytes: usize) {
    #[cfg(rt_asan)]
    {
        use std::ffi::c_void;
        use std::ptr;

        // asan_interface.h of LLVM's compiler-rt.
        unsafe extern "C" {
            fn __asan_unpoison_memory_region(address: *const c_void, bytes: usize);
        }
        // SAFETY: clears marks only; the frames clear them again as they return.
        unsafe { __asan_unpoison_memory_region(ptr::without_provenance(_address), _bytes) };
    }
}
