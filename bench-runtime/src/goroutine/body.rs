use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

use super::{BODY_WORDS, Goroutine, VTable, nothing};
use crate::stack::StackError;
use crate::util::panic::without_panic;

pub(crate) enum Outcome<T> {
    Returned(T),
    Panicked(Box<dyn Any + Send>),
    Exited,
    /// The goroutine never ran: its runtime stopped, or it got no stack, with this error.
    Abandoned(Option<Box<StackError>>),
}

/// The payload with which `goexit` unwinds.
pub(crate) struct Exit;

struct VTables<F, T>(std::marker::PhantomData<(F, T)>);

impl<F: FnOnce() -> T, T> VTables<F, T> {
    const VTABLE: VTable = VTable {
        run: run::<F, T>,
        abandon: abandon::<F, T>,
        drop_outcome: drop_outcome::<T>,
    };

    /// For a goroutine without a handle, whose result is dropped.
    const DETACHED: VTable = VTable {
        run: run_detached::<F, T>,
        abandon: abandon_detached::<F>,
        drop_outcome: nothing,
    };
}

const fn fits<T>() -> bool {
    size_of::<T>() <= BODY_WORDS * size_of::<usize>() && align_of::<T>() <= align_of::<usize>()
}

#[inline(always)]
unsafe fn put<T>(g: &Goroutine, value: T) {
    // SAFETY: by `fits` the body has room and alignment; else it holds a box.
    unsafe {
        if const { fits::<T>() } {
            g.body().cast::<T>().write(value);
        } else {
            g.body().cast::<Box<T>>().write(Box::new(value));
        }
    }
}

#[inline(always)]
unsafe fn take<T>(g: &Goroutine) -> T {
    // SAFETY: the mirror of `put`; by the caller's promise a T is there.
    unsafe {
        if const { fits::<T>() } {
            g.body().cast::<T>().read()
        } else {
            *g.body().cast::<Box<T>>().read()
        }
    }
}

/// # Safety
///
/// The record is the caller's and its body is empty.
#[inline(always)]
pub(crate) unsafe fn put_closure<F: FnOnce() -> T + Send, T: Send>(g: &Goroutine, f: F) {
    // SAFETY: by the caller's promise.
    unsafe {
        put(g, f);
        g.set_vtable(&VTables::<F, T>::VTABLE);
    }
}

/// # Safety
///
/// As for [`put_closure`].
#[inline(always)]
pub(crate) unsafe fn put_detached<F: FnOnce() -> T + Send, T>(g: &Goroutine, f: F) {
    // SAFETY: by the caller's promise.
    unsafe {
        put(g, f);
        g.set_vtable(&VTables::<F, T>::DETACHED);
    }
}

/// # Safety
///
/// The goroutine has ended, its result type is `T`, and this is called once.
#[inline(always)]
pub(crate) unsafe fn take_outcome<T>(g: &Goroutine) -> Outcome<T> {
    // SAFETY: by the caller's promise.
    unsafe { take(g) }
}

unsafe fn run<F: FnOnce() -> T, T>(g: &Goroutine) {
    // SAFETY: this is called once, when the goroutine starts, so the closure is there.
    let f = unsafe { take::<F>(g) };
    // As in `std::thread::spawn`: the closure is consumed, so its state is not used after a panic.
    let outcome = match panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Outcome::Returned(value),
        Err(payload) => outcome_of_panic(payload),
    };
    // SAFETY: the closure was taken out of the body, and the goroutine is in no queue.
    unsafe { put(g, outcome) };
}

unsafe fn run_detached<F: FnOnce() -> T, T>(g: &Goroutine) {
    // SAFETY: as in `run`.
    let f = unsafe { take::<F>(g) };
    without_panic(|| drop(f()));
}

#[cold]
fn outcome_of_panic<T>(payload: Box<dyn Any + Send>) -> Outcome<T> {
    if payload.is::<Exit>() {
        Outcome::Exited
    } else {
        Outcome::Panicked(payload)
    }
}

unsafe fn abandon<F: FnOnce() -> T, T>(g: &Goroutine, error: Option<Box<StackError>>) {
    // SAFETY: the goroutine never ran, so the closure is there.
    let f = unsafe { take::<F>(g) };
    // SAFETY: the closure is out.
    unsafe { put::<Outcome<T>>(g, Outcome::Abandoned(error)) };
    without_panic(|| drop(f));
}

unsafe fn abandon_detached<F>(g: &Goroutine, error: Option<Box<StackError>>) {
    // SAFETY: as in `abandon`.
    let f = unsafe { take::<F>(g) };
    without_panic(|| drop(f));
    if let Some(error) = error {
        report(&error);
    }
}

unsafe fn drop_outcome<T>(g: &Goroutine) {
    // SAFETY: called once, on an ended goroutine without a handle.
    match unsafe { take::<Outcome<T>>(g) } {
        Outcome::Abandoned(Some(error)) => report(&error),
        other => drop(other),
    }
}

/// Reports an error through the panic hook, because no handle gets it.
#[cold]
fn report(error: &StackError) {
    without_panic(|| panic!("a goroutine could not run: {error}"));
}
