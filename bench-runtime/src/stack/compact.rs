//! Compaction: the live bytes of long-parked stacks move to cells, and their pages are freed. The
//! bytes return to the same address when a thread needs them.
//!
//! # The steps, for a run of neighbouring slots that are all claimed
//!
//! 1. `mprotect` to read only, so that no thread changes the bytes while they are copied.
//! 2. Copy each slot's live bytes to a cell.
//! 3. `mprotect` to no access. The kernel replaces a page by a guard in two steps, and a read
//!    between them would return zeros.
//! 4. `MADV_DONTNEED` over the run, then guard markers in place of the live pages. In the other
//!    order each marker frees a page separately, with a flush of every CPU's TLB.
//! 5. `mprotect` to read and write: the mappings become one again, and only the markers stop an
//!    access.
//! 6. Each slot's word is set to `COMPACTED`, with the address of its cell.
//!
//! If the run is a whole chunk, sealing replaces steps 3 to 5: see [`super::seal`].
//!
//! A thread whose access is forbidden by one of these steps gets a SIGSEGV. The handler waits for
//! step 6, sets the word to `RESTORING`, puts the pages back with `UFFDIO_COPY`, which replaces
//! a marker in one atomic step, and sets the word to `LIVE`. A thread that resumes the goroutine
//! does the same. So references into a parked goroutine's stack stay valid.
//!
//! [`Builder::compact_stacks`](crate::Builder::compact_stacks) has the restrictions. Besides, a
//! debugger stops at each such access (in gdb, `handle SIGSEGV nostop noprint` prevents this),
//! and the child of a fork may not use a slot that was being compacted at the fork. `SPEED.md`
//! (*Stacks*) has the rejected designs.

use std::cell::UnsafeCell;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::StackError;
use super::arena::{Arena, is_chunk, slots_per_chunk};
use super::cells::{Cell, Cells, Taker};
use super::claimed::{Claimed, live_pages};
use super::class::{Class, slot_top};
use super::guard::Guards;
use super::header::StackHeader;
use super::seal::Seals;
use super::slots::{State, Word};
use super::transition;
use crate::fatal::fatal;
use crate::sys::address_marks;
use crate::sys::fork;
use crate::sys::madvise::{self, Advice, PageRange};
use crate::sys::map::{self, Access, PAGE};
use crate::sys::userfault::UserFault;
use crate::util::lock::Lock;

/// The most slots in one run: a thread that accesses one of the slots waits for the whole run.
pub(super) const LONGEST_RUN: usize = 256;

/// Why stacks cannot be compacted here.
///
/// # Examples
///
/// ```
/// use bench_runtime::{CompactionError, Runtime};
/// use std::time::Duration;
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// if let Err(error) = unsafe { Runtime::builder().compact_stacks(Duration::from_secs(1)).build() } {
///     let why = error.get_ref().and_then(|inner| inner.downcast_ref());
///     if let Some(CompactionError::UserFault(_) | CompactionError::Guards) = why {
///         println!("not on this kernel: {error}");
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactionError {
    /// The stacks of the process could not be set up.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The kernel has no userfaultfd, or does not allow it to this process.
    #[error(
        "stack compaction needs userfaultfd, which the kernel refuses ({0}): it must be built in \
         (CONFIG_USERFAULTFD) and no seccomp filter may forbid it; run without compaction"
    )]
    UserFault(#[source] io::Error),
    /// The kernel has no guard markers.
    #[error(
        "stack compaction needs MADV_GUARD_INSTALL, which this kernel lacks (Linux 6.13 has it): \
         run without compaction"
    )]
    Guards,
    /// No signal handler, or no memory for cells.
    #[error("stack compaction cannot start: {0}")]
    Io(#[source] io::Error),
}

#[derive(Debug)]
struct Compactor {
    arena: &'static Arena,
    userfault: UserFault,
    cells: Cells,
    seals: Seals,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    compacted: AtomicU64,
    restored: AtomicU64,
    touched: AtomicU64,
    sealed: AtomicU64,
}

/// Statistics of compaction in this process.
///
/// # Examples
///
/// ```
/// use bench_runtime::compaction_stats;
///
/// let stats = compaction_stats();
/// println!("{} bytes hold what {} stacks held", stats.cells_bytes, stats.compacted_count);
/// assert!(stats.restored_count <= stats.compacted_count);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionStats {
    /// How often a stack was compacted.
    pub compacted_count: u64,
    /// How often a stack was restored.
    pub restored_count: u64,
    /// How often a stack was restored because another thread accessed it.
    pub touched_count: u64,
    /// How often a chunk was sealed: all its stacks were compacted, and its page tables were freed.
    pub sealed_count: u64,
    /// Bytes of cells in use.
    pub cells_bytes: usize,
}

static COMPACTOR: OnceLock<Compactor> = OnceLock::new();
static TAKER: Lock<Option<Taker>> = Lock::new(None);

/// The handler of faults must be installed.
pub(super) fn enable() -> Result<(), CompactionError> {
    let mut taker = TAKER.lock();
    if taker.is_some() {
        return Ok(());
    }
    let arena = Arena::global()?;
    if arena.guards() != Guards::Markers {
        return Err(CompactionError::Guards);
    }
    let userfault = UserFault::open().map_err(CompactionError::UserFault)?;
    let geometry = arena.geometry();
    userfault
        .register(geometry.start(), geometry.bytes())
        .map_err(CompactionError::UserFault)?;
    let (cells, new_taker) = Cells::new().map_err(CompactionError::Io)?;
    fork::watch();
    COMPACTOR.get_or_init(|| Compactor {
        arena,
        userfault,
        cells,
        seals: Seals::new(arena),
        counters: Counters::default(),
    });
    *taker = Some(new_taker);
    Ok(())
}

#[inline]
pub(crate) fn enabled() -> bool {
    COMPACTOR.get().is_some()
}

/// Statistics of compaction in this process. All are zero if no runtime compacts.
///
/// # Examples
///
/// ```
/// use bench_runtime::{CompactionStats, compaction_stats};
///
/// // Nothing in this program compacts.
/// assert_eq!(compaction_stats(), CompactionStats::default());
/// ```
#[must_use]
pub fn stats() -> CompactionStats {
    COMPACTOR
        .get()
        .map(|compactor| CompactionStats {
            compacted_count: compactor.counters.compacted.load(Ordering::Relaxed),
            restored_count: compactor.counters.restored.load(Ordering::Relaxed),
            touched_count: compactor.counters.touched.load(Ordering::Relaxed),
            sealed_count: compactor.counters.sealed.load(Ordering::Relaxed),
            cells_bytes: compactor.cells.bytes_in_use(),
        })
        .unwrap_or_default()
}

/// Must be called before a goroutine that may have been compacted runs again.
pub(crate) fn restore(address: usize) {
    if let Some(compactor) = COMPACTOR.get() {
        compactor.restore(address);
    }
}

/// The M in the header of the compacted slot that contains `address`, read from the cell. `None` if
/// the slot is not compacted; then its header can be read. The caller keeps the goroutine from
/// being resumed meanwhile.
pub(crate) fn machine_of_compacted(address: usize) -> Option<*mut ()> {
    let compactor = COMPACTOR.get()?;
    let word = compactor.arena.word_of(address)?;
    let now = compactor.settled(word);
    let (State::Compacted, Some((cell, bytes))) = (now.state(), now.cell()) else {
        return None;
    };
    // SAFETY: the header is the last part of the copy in the cell, and the memory of cells stays
    // mapped. If the cell was freed meanwhile, the check below finds that the word has changed.
    let machine = unsafe {
        let header = cell.0.as_ptr().add(bytes - size_of::<StackHeader>());
        let field = header.add(std::mem::offset_of!(StackHeader, machine));
        std::sync::atomic::AtomicPtr::<()>::from_ptr(field.cast()).load(Ordering::Acquire)
    };
    (word.load(Ordering::Acquire) == now.0).then_some(machine)
}

/// The present address of a byte of a slot: in the cell if the slot is compacted, else `address`.
/// The caller must read the byte through the kernel, and then call `place_of` again to see whether
/// it has moved.
pub(crate) fn place_of(address: usize) -> usize {
    let in_cell = |compactor: &'static Compactor| {
        let word = compactor.arena.word_of(address)?;
        let now = compactor.settled(word);
        let (State::Compacted, Some((cell, bytes))) = (now.state(), now.cell()) else {
            return None;
        };
        let header = compactor.arena.geometry().owner_of(address)?;
        let start = header.as_ptr() as usize + size_of::<StackHeader>() - bytes;
        let offset = address
            .checked_sub(start)
            .filter(|&offset| offset < bytes)?;
        Some(cell.0.as_ptr() as usize + offset)
    };
    COMPACTOR.get().and_then(in_cell).unwrap_or(address)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// The slot is live again: it was restored, or its compaction has failed.
    Restored,
    NotOurs,
}

/// Restores the slot if it is compacted. Runs in a signal handler.
pub(super) fn on_fault(address: usize) -> Touch {
    match COMPACTOR.get() {
        Some(compactor) => compactor.on_fault(address),
        None => Touch::NotOurs,
    }
}

/// Compacts neighbouring slots of a region, beginning with slot `first`. The goroutines stay
/// claimed. After an error all slots are live.
pub(super) fn compact(region: usize, first: usize, claimed: &[Claimed]) -> io::Result<()> {
    let Some(compactor) = COMPACTOR.get() else {
        return Ok(());
    };
    match &mut *TAKER.lock() {
        Some(taker) => compactor.compact(taker, region, first, claimed),
        None => Ok(()),
    }
}

pub(super) fn slots_to_seal(region: usize) -> Option<usize> {
    enabled().then(|| slots_per_chunk(region))?
}

pub(super) fn seal(region: usize, first: usize) {
    if let Some(compactor) = COMPACTOR.get()
        && let Some(_alone) = TAKER.try_lock()
        && compactor
            .seals
            .seal(compactor.arena, &compactor.userfault, region, first)
    {
        compactor.counters.sealed.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn give_back_cells() {
    if let Some(compactor) = COMPACTOR.get()
        && let Some(mut taker) = TAKER.try_lock()
        && let Some(taker) = &mut *taker
    {
        compactor.cells.give_back_unused(taker);
    }
}

impl Compactor {
    fn compact(
        &self,
        taker: &mut Taker,
        region: usize,
        first: usize,
        claimed: &[Claimed],
    ) -> io::Result<()> {
        let geometry = self.arena.geometry();
        let start = geometry.slot_base(region, first);
        let bytes = geometry.slot_base(region, first + claimed.len()) - start;
        let word = |index: usize| self.arena.slots.word(region, first + index);
        let put = |cells: &[Cell]| {
            for (claim, cell) in claimed.iter().zip(cells) {
                // SAFETY: taken below for as many bytes, and no word names it yet.
                unsafe { self.cells.put(*cell, claim.live().1) };
            }
        };

        let mut cells = Vec::with_capacity(claimed.len());
        for claim in claimed {
            match self.cells.take(taker, claim.live().1) {
                Ok(cell) => cells.push(cell),
                Err(error) => {
                    put(&cells);
                    return Err(error);
                }
            }
        }
        let classes: Vec<Class> = claimed.iter().map(|claim| claim.stack.class()).collect();
        for (index, &class) in classes.iter().enumerate() {
            // From step 1 on, a thread that faults in the slot waits while the word is `MOVING`.
            transition::set(word(index), Word::plain(State::Moving, class).0);
        }
        let back_to_live = || {
            for (index, &class) in classes.iter().enumerate() {
                transition::set(word(index), Word::plain(State::Live, class).0);
            }
        };

        // Step 1. SAFETY: the slots are claimed, so their goroutines do not run. Another thread
        // that writes there faults, and waits in the handler.
        if let Err(error) = unsafe { map::protect(start, bytes, Access::Read) } {
            back_to_live();
            put(&cells);
            return Err(error);
        }
        for (claim, cell) in claimed.iter().zip(&cells) {
            let (from, len) = claim.live();
            address_marks::clear(from, len);
            // SAFETY: the live part is in the slot, whose pages are readable and which no thread
            // can write; the cell is large enough.
            unsafe { (from as *const u8).copy_to_nonoverlapping(cell.0.as_ptr(), len) };
        }
        let compacted = |index: usize, claim: &Claimed| {
            Word::compacted(classes[index], cells[index], claim.live().1)
        };
        if is_chunk(region, first, claimed.len()) {
            // `close` does the work of steps 3 to 5.
            for (index, claim) in claimed.iter().enumerate() {
                let moving = compacted(index, claim).with_state(State::Moving);
                transition::set(word(index), moving.0);
            }
            let sealed = self.seals.close(self.arena, &self.userfault, region, first);
            self.counters
                .sealed
                .fetch_add(sealed.into(), Ordering::Relaxed);
            for (index, claim) in claimed.iter().enumerate() {
                transition::set(word(index), compacted(index, claim).0);
            }
            let count = claimed.len() as u64;
            self.counters.compacted.fetch_add(count, Ordering::Relaxed);
            return Ok(());
        }
        // Step 3.
        // SAFETY: as in step 1; a thread that reads there waits in the handler too.
        if let Err(error) = unsafe { map::protect(start, bytes, Access::None) } {
            self.reopen(start, bytes);
            back_to_live();
            put(&cells);
            return Err(error);
        }
        // Step 4.
        let pages: Vec<PageRange> = claimed
            .iter()
            .map(|claim| live_pages(claim.stack.as_ptr(), claim.live().1))
            .collect();
        // SAFETY: the live bytes are in the cells, nothing below them is needed, and no thread can
        // touch the pages.
        let emptied = unsafe {
            madvise::advise(PageRange { start, bytes }, Advice::DontNeed)
                .map_err(|error| (0, error))
                .and_then(|()| madvise::advise_all(&pages, Advice::GuardInstall))
        };
        if let Err((_, error)) = emptied {
            // Puts all missing pages back before a thread can read them.
            for (claim, cell) in claimed.iter().zip(&cells) {
                let (from, len) = claim.live();
                self.fill(from, len, *cell);
            }
            self.reopen(start, bytes);
            back_to_live();
            put(&cells);
            return Err(error);
        }
        // Step 5.
        self.reopen(start, bytes);
        // Step 6.
        for (index, claim) in claimed.iter().enumerate() {
            // `set` is a Release: a thread that restores the slot sees the content of the cell.
            transition::set(word(index), compacted(index, claim).0);
        }
        let count = claimed.len() as u64;
        self.counters.compacted.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Step 5. A failure ends the process, because `mprotect` may have made only a part of the range
    /// accessible.
    fn reopen(&self, start: usize, bytes: usize) {
        // SAFETY: the range is slots of the arena, which are writable unless they are being
        // compacted.
        if let Err(error) = unsafe { map::protect(start, bytes, Access::ReadWrite) } {
            fatal!("cannot reopen goroutine stacks after moving them: {error}");
        }
    }

    /// Waits until the slot is in a stable state; returns its word. In the child of a fork it returns
    /// at once, because the thread that was moving or restoring the slot does not exist there.
    fn settled(&self, word: &AtomicU64) -> Word {
        let is_moving = |now| match Word(now).state() {
            State::Moving | State::Restoring => !fork::is_child(),
            _ => false,
        };
        Word(transition::wait_until_stable(word, is_moving, || {
            // SAFETY: sched_yield has no precondition and is fine in a signal handler.
            unsafe { libc::sched_yield() };
        }))
    }

    /// Restores the slot that contains `address`. False if another thread was faster, or if the
    /// slot is not compacted.
    fn restore(&self, address: usize) -> bool {
        let geometry = self.arena.geometry();
        let Some((region, number)) = geometry.locate(address) else {
            return false;
        };
        let base = geometry.slot_base(region, number);
        let word = self.arena.slots.word(region, number);
        loop {
            let now = self.settled(word);
            if now.state() != State::Compacted {
                return false;
            }
            let restoring = now.with_state(State::Restoring);
            if !transition::begin(word, now.0, restoring.0) {
                continue;
            }
            let (Some((cell, len)), Some(header)) = (now.cell(), geometry.header_of(base)) else {
                fatal!("a compacted stack without a cell at {base:#x}");
            };
            let userfault = (!fork::is_child()).then_some(&self.userfault);
            self.seals.open(self.arena, userfault, base);
            let end = header.as_ptr() as usize + size_of::<StackHeader>();
            self.fill(end - len, len, cell);
            transition::set(word, Word::plain(State::Live, now.class()).0);
            // SAFETY: the cell was taken for as many bytes, and the word no longer refers to it.
            unsafe { self.cells.put(cell, len) };
            self.counters.restored.fetch_add(1, Ordering::Relaxed);
            return true;
        }
    }

    /// Puts the missing pages of the `len` live bytes at `start` back, from their cell.
    fn fill(&self, start: usize, len: usize, cell: Cell) {
        let end = start + len;
        let mut page = start & !(PAGE - 1);
        let staging = Staging::acquire();
        while page < end {
            let from = start.max(page);
            let to = end.min(page + PAGE);
            // SAFETY: we hold the staging page, and the part of the cell is within the copied
            // bytes. The rest of the page is below SP or above the header, and is not read.
            let answer = unsafe {
                let staged = staging.page();
                cell.0
                    .as_ptr()
                    .add(from - start)
                    .copy_to_nonoverlapping(staged.add(from - page), to - from);
                self.put_page(page, staged)
            };
            if let Err(error) = answer {
                fatal!("cannot bring back a goroutine's stack at {page:#x}: {error}");
            }
            page += PAGE;
        }
    }

    /// # Safety
    ///
    /// `page` is a page of a slot that this thread is restoring.
    unsafe fn put_page(&self, page: usize, from: *const u8) -> io::Result<()> {
        if fork::is_child() {
            // The userfaultfd would fill the parent's memory. The child has one thread, so two
            // steps are enough.
            let range = PageRange {
                start: page,
                bytes: PAGE,
            };
            // SAFETY: by the caller's promise; the marker holds no data.
            unsafe {
                madvise::advise(range, Advice::GuardRemove)?;
                from.copy_to_nonoverlapping(page as *mut u8, PAGE);
            }
            return Ok(());
        }
        // SAFETY: the arena is registered, and the staging page is readable.
        unsafe { self.userfault.fill(page, from) }
    }

    fn on_fault(&self, address: usize) -> Touch {
        let Some(word) = self.arena.word_of(address) else {
            return Touch::NotOurs;
        };
        let now = self.settled(word);
        match now.state() {
            State::Compacted => {
                if self.restore(address) {
                    self.counters.touched.fetch_add(1, Ordering::Relaxed);
                }
            }
            // Another thread has restored the slot, or the access was to the guard. The range below
            // decides.
            State::Live => {}
            State::Free | State::Moving | State::Restoring => return Touch::NotOurs,
        }
        let info = now.class().info();
        let top = self
            .arena
            .geometry()
            .owner_of(address)
            .map_or(0, |header| slot_top(header.as_ptr() as usize));
        match (top.saturating_sub(info.usable)..top).contains(&address) {
            true => Touch::Restored,
            false => Touch::NotOurs,
        }
    }
}

/// A page for the data of `UFFDIO_COPY`. It is static, because std's alternate signal stack is too
/// small for it.
struct Staging {
    busy: AtomicBool,
    page: UnsafeCell<StagingPage>,
}

#[repr(align(4096))]
struct StagingPage([u8; PAGE]);

/// One page for each thread that restores a stack at the moment. Further threads wait.
static STAGING: [Staging; 16] = [const {
    Staging {
        busy: AtomicBool::new(false),
        page: UnsafeCell::new(StagingPage([0; PAGE])),
    }
}; 16];

// SAFETY: the page belongs to the thread that changed `busy` to true.
unsafe impl Sync for Staging {}

struct StagingGuard(&'static Staging);

impl Staging {
    fn acquire() -> StagingGuard {
        loop {
            for staging in &STAGING {
                // Acquire: pairs with the Release in `StagingGuard::drop`.
                if !staging.busy.swap(true, Ordering::Acquire) {
                    return StagingGuard(staging);
                }
            }
            // SAFETY: sched_yield has no precondition.
            unsafe { libc::sched_yield() };
        }
    }
}

impl StagingGuard {
    fn page(&self) -> *mut u8 {
        let page: *mut StagingPage = self.0.page.get();
        // SAFETY: the page is static; this only takes an address in it.
        unsafe { (&raw mut (*page).0).cast() }
    }
}

impl Drop for StagingGuard {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `acquire`.
        self.0.busy.store(false, Ordering::Release);
    }
}
