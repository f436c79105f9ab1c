use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

#[derive(Debug)]
pub(crate) struct AtomicRef<T>(AtomicPtr<T>);

impl<T> Default for AtomicRef<T> {
    fn default() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

// `Sync`, because the thread that loads a reference is mostly not the thread that stored it.
impl<T: Sync + 'static> AtomicRef<T> {
    #[inline(always)]
    pub(crate) fn load(&self, order: Ordering) -> Option<&'static T> {
        // SAFETY: null, or stored as a `&'static T`.
        unsafe { self.0.load(order).as_ref() }
    }

    #[inline(always)]
    pub(crate) fn store(&self, value: Option<&'static T>, order: Ordering) {
        self.0.store(pointer(value), order);
    }

    #[inline(always)]
    pub(crate) fn swap(&self, value: Option<&'static T>, order: Ordering) -> Option<&'static T> {
        // SAFETY: as in `load`.
        unsafe { self.0.swap(pointer(value), order).as_ref() }
    }

    /// Stores `value` if there is none; true if it was stored. A failure is Relaxed.
    pub(crate) fn store_if_none(&self, value: &'static T, order: Ordering) -> bool {
        let (none, value) = (ptr::null_mut(), pointer(Some(value)));
        self.0
            .compare_exchange(none, value, order, Ordering::Relaxed)
            .is_ok()
    }

    #[inline(always)]
    pub(crate) fn is(&self, value: *const T, order: Ordering) -> bool {
        ptr::eq(self.0.load(order), value)
    }

    #[inline(always)]
    pub(crate) fn is_none(&self, order: Ordering) -> bool {
        self.is(ptr::null(), order)
    }
}

#[inline(always)]
fn pointer<T: 'static>(value: Option<&'static T>) -> *mut T {
    value.map_or(ptr::null_mut(), |value| ptr::from_ref(value).cast_mut())
}
