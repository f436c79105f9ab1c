//! Live bytes move between their pages and a cell: one thread restores them, and each thread that
//! needs them finds them whole in the pages.

use crate::transition_source as transition;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const LIVE: u64 = 1;
const MOVING: u64 = 2;
const COMPACTED: u64 = 3;
const RESTORING: u64 = 4;

struct Scene {
    word: AtomicU64,
    page: UnsafeCell<u32>,
    cell: UnsafeCell<u32>,
    restored_count: AtomicUsize,
}

// SAFETY: loom checks the accesses to its cells.
unsafe impl Send for Scene {}
// SAFETY: as above.
unsafe impl Sync for Scene {}

const BYTES: u32 = 7;

impl Scene {
    fn new(state: u64) -> Arc<Self> {
        let (page, cell) = if state == LIVE {
            (BYTES, 0)
        } else {
            (0, BYTES)
        };
        Arc::new(Self {
            word: AtomicU64::new(state),
            page: UnsafeCell::new(page),
            cell: UnsafeCell::new(cell),
            restored_count: AtomicUsize::new(0),
        })
    }

    /// As `Compactor::compact`: one thread, which owns the goroutine.
    fn compact(&self) {
        transition::set(&self.word, MOVING);
        // SAFETY: loom checks that the accesses are exclusive.
        let bytes = self
            .page
            .with_mut(|page| unsafe { std::mem::take(&mut *page) });
        // SAFETY: as above.
        self.cell.with_mut(|cell| unsafe { *cell = bytes });
        transition::set(&self.word, COMPACTED);
    }

    fn settled(&self) -> u64 {
        let moving = |word| matches!(word, MOVING | RESTORING);
        transition::wait_until_stable(&self.word, moving, loom::thread::yield_now)
    }

    /// As `Compactor::restore`: any thread; `begin` chooses one of them.
    fn restore(&self, begin: fn(&AtomicU64, u64, u64) -> bool) {
        loop {
            let now = self.settled();
            if now != COMPACTED {
                return;
            }
            if !begin(&self.word, now, RESTORING) {
                continue;
            }
            // SAFETY: as in `compact`.
            let bytes = self
                .cell
                .with_mut(|cell| unsafe { std::mem::take(&mut *cell) });
            // SAFETY: as in `compact`.
            self.page.with_mut(|page| unsafe { *page = bytes });
            transition::set(&self.word, LIVE);
            self.restored_count.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }

    fn read(&self) {
        // SAFETY: as in `compact`.
        assert_eq!(self.page.with(|page| unsafe { *page }), BYTES);
    }
}

fn two_threads_restore(begin: fn(&AtomicU64, u64, u64) -> bool) {
    let scene = Scene::new(COMPACTED);
    let threads = [(); 2].map(|()| {
        let scene = scene.clone();
        loom::thread::spawn(move || {
            scene.restore(begin);
            scene.read();
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(scene.restored_count.load(Ordering::Relaxed), 1);
}

#[test]
fn one_of_two_restores_and_both_read() {
    loom::model(|| two_threads_restore(transition::begin));
}

#[test]
#[should_panic]
fn canary_restore_that_is_no_exchange() {
    loom::model(|| {
        two_threads_restore(|word, settled, moving| {
            let mine = word.load(Ordering::Acquire) == settled;
            if mine {
                transition::set(word, moving);
            }
            mine
        });
    });
}

/// A fault in the middle of the move waits for its end, then restores.
#[test]
fn thread_that_faults_during_a_move_finds_the_bytes_whole() {
    loom::model(|| {
        let scene = Scene::new(LIVE);
        // Another thread faults because of the page's protection, which is set after the word, so
        // the thread reads at least `MOVING`.
        transition::set(&scene.word, MOVING);
        let other = loom::thread::spawn({
            let scene = scene.clone();
            move || {
                scene.restore(transition::begin);
                scene.read();
            }
        });
        scene.compact();
        other.join().unwrap();
        assert_eq!(scene.settled(), LIVE);
        assert_eq!(scene.restored_count.load(Ordering::Relaxed), 1);
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_cell_published_before_it_is_filled() {
    loom::model(|| {
        let scene = Scene::new(LIVE);
        transition::set(&scene.word, MOVING);
        let other = loom::thread::spawn({
            let scene = scene.clone();
            move || scene.restore(transition::begin)
        });
        transition::set(&scene.word, COMPACTED);
        // SAFETY: it is not exclusive, which loom must find.
        scene.cell.with_mut(|cell| unsafe { *cell = BYTES });
        other.join().unwrap();
    });
}
