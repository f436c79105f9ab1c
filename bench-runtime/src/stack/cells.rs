//! Cells: the memory for the live bytes of compacted stacks.
//!
//! One thread at a time takes cells. Any thread frees them, also in a signal handler.
//!
//! When no cell of a size is in use, the pages of its slabs go back to the kernel.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::free_list::FreeList;
use crate::sys::madvise::{self, Advice, PageRange};
use crate::sys::map::{self, Access};

/// The sizes of live parts, and the sizes and addresses of cells, are multiples of this.
pub(super) const UNIT: usize = 16;
pub(super) const LARGEST: usize = 16 << 10;
const SIZES: usize = LARGEST / UNIT;
/// Each slab holds cells of one size.
const SLAB: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell(pub(super) NonNull<u8>);

#[derive(Debug)]
struct Size {
    free: FreeList,
    in_use: AtomicUsize,
}

#[derive(Debug, Default)]
struct Slabs {
    starts: Vec<usize>,
    /// The index in `starts` of the slab from which cells are cut.
    current: usize,
    /// The bytes of that slab that have been cut.
    cut: usize,
}

#[derive(Debug)]
pub(super) struct Cells {
    sizes: [Size; SIZES],
}

#[derive(Debug)]
struct Space {
    #[cfg(test)]
    start: usize,
    next: usize,
    end: usize,
}

/// Gives the address space back in tests, because an emulator has little of it.
#[cfg(test)]
impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: the cells of a test, which are not in use any more.
        let _ = unsafe { map::unmap(self.start, self.end - self.start) };
    }
}

/// The right to take cells from a [`Cells`].
#[derive(Debug)]
pub(super) struct Taker {
    slabs: Vec<Slabs>,
    space: Space,
}

const LARGEST_SPACE: usize = 1 << 40;

impl Cells {
    pub(super) fn new() -> io::Result<(Self, Taker)> {
        let cells = Self {
            sizes: [const {
                Size {
                    free: FreeList::new(),
                    in_use: AtomicUsize::new(0),
                }
            }; SIZES],
        };
        let mut slabs = Vec::new();
        slabs.resize_with(SIZES, Slabs::default);
        let space = Space::reserve()?;
        Ok((cells, Taker { slabs, space }))
    }

    /// A cell of at least `bytes`, at most [`LARGEST`], aligned to 16.
    pub(super) fn take(&self, taker: &mut Taker, bytes: usize) -> io::Result<Cell> {
        let index = size_index(bytes);
        let size = &self.sizes[index];
        let slabs = &mut taker.slabs[index];
        // SAFETY: there is one taker, and it is borrowed.
        if let Some(first) = unsafe { size.free.pop() } {
            size.in_use.fetch_add(1, Ordering::Relaxed);
            return Ok(Cell(first.cast()));
        }
        let address = slabs.cut_one((index + 1) * UNIT, &mut taker.space)?;
        size.in_use.fetch_add(1, Ordering::Relaxed);
        match NonNull::new(address as *mut u8) {
            Some(cell) => Ok(Cell(cell)),
            None => unreachable!("the kernel maps nothing at null"),
        }
    }

    /// Gives a cell back. Allowed in a signal handler.
    ///
    /// # Safety
    ///
    /// The cell was taken here for the same number of bytes, and is no longer in use.
    pub(super) unsafe fn put(&self, cell: Cell, bytes: usize) {
        let size = &self.sizes[size_index(bytes)];
        // SAFETY: by the caller's promise the cell is ours. Cells are larger than a link and
        // aligned for it.
        unsafe { size.free.push(cell.0.cast()) };
        // Release: pairs with the Acquire in `give_back_unused`, which then sees the push.
        size.in_use.fetch_sub(1, Ordering::Release);
    }

    pub(super) fn give_back_unused(&self, taker: &mut Taker) {
        for (size, slabs) in self.sizes.iter().zip(&mut taker.slabs) {
            // Acquire: pairs with the Release in `put`. The number grows only in `take`, which
            // needs the taker.
            if slabs.starts.is_empty() || size.in_use.load(Ordering::Acquire) != 0 {
                continue;
            }
            size.free.forget_all();
            slabs.current = 0;
            slabs.cut = 0;
            let ranges: Vec<PageRange> = slabs
                .starts
                .iter()
                .map(|&start| PageRange { start, bytes: SLAB })
                .collect();
            // A failure only costs memory. SAFETY: no cell of these slabs is in use or on the free
            // list.
            let _ = unsafe { madvise::advise_all(&ranges, Advice::DontNeed) };
        }
    }

    pub(super) fn bytes_in_use(&self) -> usize {
        let sizes = self.sizes.iter().enumerate();
        sizes
            .map(|(index, size)| (index + 1) * UNIT * size.in_use.load(Ordering::Relaxed))
            .sum()
    }
}

impl Space {
    fn reserve() -> io::Result<Self> {
        let mut bytes = LARGEST_SPACE;
        let start = loop {
            match map::reserve(bytes, SLAB) {
                Ok(start) => break start,
                Err(error) if bytes == SLAB => return Err(error),
                Err(_) => bytes /= 2,
            }
        };
        let range = PageRange { start, bytes };
        // A kernel without huge pages refuses, which does no harm.
        // SAFETY: the reservation is ours and empty.
        let _ = unsafe { madvise::advise(range, Advice::NoHugePage) };
        Ok(Self {
            #[cfg(test)]
            start,
            next: start,
            end: start + bytes,
        })
    }

    fn cut_slab(&mut self) -> io::Result<usize> {
        let start = self.next;
        if start == self.end {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // SAFETY: the slab is ours and new.
        unsafe { map::protect(start, SLAB, Access::ReadWrite)? };
        self.next += SLAB;
        Ok(start)
    }
}

impl Slabs {
    fn cut_one(&mut self, bytes: usize, space: &mut Space) -> io::Result<usize> {
        if self.cut + bytes > SLAB {
            self.current += 1;
            self.cut = 0;
        }
        if self.current >= self.starts.len() {
            self.starts.push(space.cut_slab()?);
            self.current = self.starts.len() - 1;
        }
        let address = self.starts[self.current] + self.cut;
        self.cut += bytes;
        Ok(address)
    }
}

fn size_index(bytes: usize) -> usize {
    debug_assert!((1..=LARGEST).contains(&bytes));
    (bytes - 1) / UNIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Mutex;

    #[test]
    fn take_gives_cells_that_do_not_overlap() {
        let (cells, mut taker) = Cells::new().unwrap();
        let mut taken: Vec<(usize, usize)> = (0..5000)
            .map(|i| {
                let bytes = 1 + i * 7 % LARGEST;
                let cell = cells.take(&mut taker, bytes).unwrap();
                (cell.0.as_ptr() as usize, bytes)
            })
            .collect();
        taken.sort_unstable();
        assert!(taken.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0));
        assert!(taken.iter().all(|(address, _)| address % 16 == 0));
    }

    #[test]
    fn pages_go_back_when_no_cell_is_in_use() {
        let (cells, mut taker) = Cells::new().unwrap();
        let held: Vec<Cell> = (0..2000)
            .map(|_| {
                let cell = cells.take(&mut taker, 600).unwrap();
                // SAFETY: the cell is ours.
                unsafe { cell.0.write_bytes(1, 600) };
                cell
            })
            .collect();
        let starts = taker.slabs[size_index(600)].starts.clone();
        let resident = || {
            let mut pages = vec![0; SLAB / map::PAGE];
            let count = |&start: &usize| {
                map::resident(start, &mut pages).unwrap();
                pages.iter().map(|&page| usize::from(page)).sum::<usize>()
            };
            starts.iter().map(count).sum::<usize>()
        };
        assert!(resident() >= 2000 * 600 / map::PAGE);
        let count = held.len();
        for (index, cell) in held.into_iter().enumerate() {
            if index == count - 1 {
                cells.give_back_unused(&mut taker);
                assert!(resident() > 0, "a cell is still in use");
            }
            // SAFETY: taken above for as many bytes.
            unsafe { cells.put(cell, 600) };
        }
        cells.give_back_unused(&mut taker);
        assert_eq!((resident(), cells.bytes_in_use()), (0, 0));
        cells.take(&mut taker, 600).unwrap();
        assert_eq!(cells.bytes_in_use(), 608);
    }

    #[test]
    fn cells_given_back_by_many_threads_are_taken_once() {
        let (cells, mut taker) = Cells::new().unwrap();
        let given = Mutex::new(Vec::<usize>::new());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let Some(address) = given.lock().unwrap().pop() else {
                            std::thread::yield_now();
                            continue;
                        };
                        let cell = Cell(NonNull::new(address as *mut u8).unwrap());
                        // SAFETY: taken below for as many bytes.
                        unsafe { cells.put(cell, 100) };
                    }
                });
            }
            for _ in 0..2000 {
                let mine: Vec<usize> = (0..20)
                    .map(|_| cells.take(&mut taker, 100).unwrap().0.as_ptr() as usize)
                    .collect();
                assert_eq!(mine.iter().collect::<HashSet<_>>().len(), mine.len());
                assert!(
                    given
                        .lock()
                        .unwrap()
                        .iter()
                        .all(|cell| !mine.contains(cell))
                );
                given.lock().unwrap().extend(mine);
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
