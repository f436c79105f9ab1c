//! Plain OS threads as parkables. Records are reused and never freed, so a thread may be readied
//! after it has ended.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU32};

use super::{Head, Kind, Parkable, Waiter};
use crate::sys::thread_end::AtEnd;
use crate::util::lock::Lock;
use crate::util::note::Note;

#[derive(Debug)]
#[repr(C)]
pub(crate) struct ThreadRecord {
    head: Head,
    note: Note,
    waiter: UnsafeCell<MaybeUninit<Waiter>>,
}

// SAFETY: only the thread that holds the record uses `waiter` and, once enqueued, only under the
// lock of the queue.
unsafe impl Sync for ThreadRecord {}
// SAFETY: the record holds nothing bound to a thread.
unsafe impl Send for ThreadRecord {}

static FREE: Lock<Vec<&'static ThreadRecord>> = Lock::new(Vec::new());

thread_local! {
    /// Without a destructor, so that the destructors of the program's thread-locals may still wait.
    static RECORD: Cell<Option<&'static ThreadRecord>> = const { Cell::new(None) };
}

/// Runs after the destructors of the thread's thread-locals.
static GIVE_BACK: AtEnd = AtEnd::new(give_back);

unsafe extern "C" fn give_back(record: *mut c_void) {
    RECORD.set(None);
    // SAFETY: armed by `take` with a record, which is never freed.
    FREE.lock().push(unsafe { &*record.cast::<ThreadRecord>() });
}

#[cold]
fn take() -> &'static ThreadRecord {
    let spare = FREE.lock().pop();
    let record = spare.unwrap_or_else(|| {
        Box::leak(Box::new(ThreadRecord {
            head: Head {
                status: AtomicU8::new(0),
                kind: Kind::Thread,
                reason: AtomicU8::new(0),
                flags: AtomicU8::new(0),
                ticket: AtomicU32::new(0),
            },
            note: Note::new(),
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
        }))
    });
    RECORD.set(Some(record));
    GIVE_BACK.arm(ptr::from_ref(record).cast_mut().cast());
    record
}

impl ThreadRecord {
    /// Must not be called on a goroutine's stack.
    pub(crate) fn current() -> &'static Self {
        RECORD.get().unwrap_or_else(take)
    }

    pub(crate) fn of(parkable: Parkable) -> &'static Self {
        debug_assert_eq!(parkable.head().kind, Kind::Thread);
        // SAFETY: the head is the first field of a record that is never freed.
        unsafe { &*parkable.as_ptr().cast() }
    }

    pub(crate) fn parkable(&'static self) -> Parkable {
        // SAFETY: records are never freed, and begin with their head. Made from the whole record,
        // so that `of` may reach all of it.
        unsafe { Parkable::from_head(NonNull::from(self).cast()) }
    }

    pub(crate) fn waiter(&self) -> *mut Waiter {
        self.waiter.get().cast()
    }

    /// Sleeps until the thread is readied. Blocks the thread.
    pub(crate) fn park(&self) {
        self.note.sleep();
    }

    /// As [`Self::park`], until `deadline_ns` at the latest. Then the thread claims its own ticket.
    /// If the claim fails, another thread is about to ready it, and it sleeps until then.
    pub(crate) fn park_until(&'static self, ticket: u32, deadline_ns: u64) {
        if !self.note.sleep_until(deadline_ns) && !self.parkable().claim(ticket) {
            self.park();
        }
    }

    pub(crate) fn ready(&self) {
        self.note.wake();
    }
}
