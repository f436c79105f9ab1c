//! Memory that forked processes share: numbers, gates and locks.
//!
//! A lane has one mapping, of a file in memory (memfd). Its first word counts the words in use, so
//! a child can allocate too. [`Arena::clear`] frees all words at once.
#![allow(
    unsafe_code,
    reason = "mapping memory, pointers into it, and the futex system call"
)]

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::{io, slice};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::unistd::ftruncate;

use crate::lane::Failure;
use crate::protocol::ErrorKind;

/// Address space: the kernel allocates a page when it is first touched.
const ARENA_BYTES: usize = 256 << 20;
const WORDS: usize = ARENA_BYTES / size_of::<u64>();
/// The first word is alone on its cache line.
const FIRST_FREE: u64 = 8;

/// The mapping, which is never unmapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arena {
    words: &'static [AtomicU64],
}

impl Arena {
    pub(crate) fn new() -> io::Result<Self> {
        let size = NonZeroUsize::new(ARENA_BYTES).expect("the size is a constant above 0");
        let file = memfd_create(c"threadbare shared", MFdFlags::MFD_CLOEXEC);
        // If a sandbox refuses `memfd_create`: a file in `/dev/shm` is in memory too.
        let file = match file {
            Ok(file) => file,
            Err(_) => tempfile::tempfile_in("/dev/shm")?.into(),
        };
        ftruncate(&file, ARENA_BYTES as i64)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use. The
        // mapping keeps the file, and no other code has it, so the file never gets shorter.
        let start = unsafe {
            mmap(
                None,
                size,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE,
                &file,
                0,
            )?
        };
        // SAFETY: the mapping is of this size, aligned to a page, readable and writable, zeroed (a
        // valid `AtomicU64`), and never unmapped.
        let words = unsafe { slice::from_raw_parts(start.cast::<AtomicU64>().as_ptr(), WORDS) };
        words[0].store(FIRST_FREE, Ordering::Relaxed);
        Ok(Self { words })
    }

    /// No process may still use numbers allocated earlier, because later calls of `numbers` return
    /// their words again.
    pub(crate) fn clear(&self) {
        self.words[0].store(FIRST_FREE, Ordering::Relaxed);
    }

    pub(crate) fn numbers<const N: usize>(&self) -> Result<[Number; N], Failure> {
        let first = self.words[0].fetch_add(N as u64, Ordering::Relaxed) as usize;
        let Some(words) = self.words.get(first..first + N) else {
            return Err(Failure::failed(format!(
                "the {} MiB of shared memory are used up",
                ARENA_BYTES >> 20
            )));
        };
        words
            .iter()
            .for_each(|word| word.store(0, Ordering::Relaxed));
        Ok(std::array::from_fn(|index| Number(&words[index])))
    }
}

const TEXT_WORDS: usize = 32;
const KINDS: [ErrorKind; 4] = [
    ErrorKind::Failed,
    ErrorKind::NotSupported,
    ErrorKind::BadRequest,
    ErrorKind::Limit,
];

impl Arena {
    /// Stores a failure for another process, and its index in `number`. Stores nothing if the
    /// memory is used up.
    pub(crate) fn store_failure(&self, number: &Number, failure: &Failure) {
        let Ok([kind, text @ ..]) = self.numbers::<{ TEXT_WORDS + 1 }>() else {
            return;
        };
        let at = KINDS
            .iter()
            .position(|known| *known == failure.kind)
            .unwrap_or(0);
        kind.store(at as u64, Ordering::Relaxed);
        let mut bytes = failure.message.as_bytes().chunks(size_of::<u64>());
        for word in &text {
            let mut part = [0; size_of::<u64>()];
            let chunk = bytes.next().unwrap_or_default();
            part[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(part), Ordering::Relaxed);
        }
        number.store(kind.index(self) as u64, Ordering::Relaxed);
    }

    pub(crate) fn failure(&self, number: &Number) -> Failure {
        // Index 0 is the counter's: no failure was stored.
        let index = number.load(Ordering::Relaxed) as usize;
        let words = self.words.get(index..index.saturating_add(TEXT_WORDS + 1));
        let Some([kind, text @ ..]) = words.filter(|_| index > 0) else {
            return Failure::failed("a child failed and could not say why");
        };
        let bytes: Vec<u8> = text
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
            .take_while(|&byte| byte != 0)
            .collect();
        let kind = KINDS
            .get(kind.load(Ordering::Relaxed) as usize)
            .copied()
            .unwrap_or(ErrorKind::Failed);
        Failure {
            kind,
            message: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(&'static AtomicU64);

impl Deref for Number {
    type Target = AtomicU64;

    fn deref(&self) -> &AtomicU64 {
        self.0
    }
}

impl Number {
    fn index(&self, arena: &Arena) -> usize {
        (ptr::from_ref(self.0).addr() - arena.words.as_ptr().addr()) / size_of::<u64>()
    }

    fn futex(&self) -> &AtomicU32 {
        // SAFETY: the first four bytes of an `AtomicU64` are a valid and aligned `AtomicU32`. No
        // code uses the whole of a number that is a futex: gates and locks have private fields.
        unsafe { NonNull::from(self.0).cast::<AtomicU32>().as_ref() }
    }

    /// Blocks the thread while the futex is `value`. May return early.
    fn wait(&self, value: u32) {
        // SAFETY: the address is that of a live `AtomicU32`; without a timeout the kernel reads
        // nothing else. An error (EAGAIN, EINTR) is an early return, which every caller allows for.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.futex().as_ptr(),
                libc::FUTEX_WAIT,
                value,
                ptr::null::<libc::timespec>(),
            )
        };
    }

    fn wake(&self, count: i32) {
        // SAFETY: the address is that of a live `AtomicU32`; the call reads and
        // writes no memory.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.futex().as_ptr(),
                libc::FUTEX_WAKE,
                count,
            )
        };
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate(Number);

const CLOSED: u32 = 0;
const GO: u32 = 1;
const END: u32 = 2;

impl Gate {
    pub(crate) fn new(arena: &Arena) -> Result<Self, Failure> {
        arena.numbers().map(|[number]| Self(number))
    }

    /// Blocks the thread until the gate opens. Returns the `go` of [`open`](Self::open): whether to
    /// work.
    pub(crate) fn wait(&self) -> bool {
        loop {
            // Acquire: pairs with the Release in `open`.
            match self.0.futex().load(Ordering::Acquire) {
                CLOSED => self.0.wait(CLOSED),
                state => return state == GO,
            }
        }
    }

    pub(crate) fn open(&self, go: bool) {
        // Release: pairs with the Acquire in `wait`.
        self.0
            .futex()
            .store(if go { GO } else { END }, Ordering::Release);
        self.0.wake(i32::MAX);
    }
}

/// A lock around a number: the futex mutex with three states of Drepper's "Futexes are tricky".
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lock {
    state: Number,
    number: Number,
}

const FREE: u32 = 0;
const TAKEN: u32 = 1;
const WANTED: u32 = 2;

impl Lock {
    pub(crate) fn new(arena: &Arena) -> Result<Self, Failure> {
        // A lock uses two of 16 numbers, so no two locks share a cache line.
        arena
            .numbers::<16>()
            .map(|[state, number, ..]| Self { state, number })
    }

    /// If a process dies in `body`, the lock stays locked.
    pub(crate) fn locked<T>(&self, body: impl FnOnce(&mut u64) -> T) -> T {
        let state = self.state.futex();
        // Acquire, here and below: pairs with the Release of the last owner.
        if state
            .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            while state.swap(WANTED, Ordering::Acquire) != FREE {
                self.state.wait(WANTED);
            }
        }
        let mut number = self.number.load(Ordering::Relaxed);
        let result = body(&mut number);
        self.number.store(number, Ordering::Relaxed);
        if state.swap(FREE, Ordering::Release) == WANTED {
            self.state.wake(1);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_stored_in_the_arena_keeps_kind_and_text() {
        let arena = Arena::new().unwrap();
        let [number, empty] = arena.numbers().unwrap();
        let failure = Failure {
            kind: ErrorKind::Limit,
            message: "fork: EAGAIN, at the limit of processes".to_owned(),
        };
        arena.store_failure(&number, &failure);
        assert_eq!(arena.failure(&number), failure);
        assert_eq!(arena.failure(&empty).kind, ErrorKind::Failed);
        let long = Failure::failed("x".repeat(1_000));
        arena.store_failure(&number, &long);
        assert_eq!(arena.failure(&number).message, "x".repeat(TEXT_WORDS * 8));
    }

    #[test]
    fn lock_excludes_threads_from_each_other() {
        let arena = Arena::new().unwrap();
        let lock = Lock::new(&arena).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| lock.locked(|number| *number += 1)));
            }
        });
        assert_eq!(lock.locked(|number| *number), 40_000);
    }

    #[test]
    fn full_arena_is_an_error() {
        let arena = Arena::new().unwrap();
        arena.words[0].store(WORDS as u64 - 1, Ordering::Relaxed);
        assert!(arena.numbers::<1>().is_ok());
        assert!(
            arena
                .numbers::<1>()
                .unwrap_err()
                .message
                .contains("used up")
        );
    }
}
