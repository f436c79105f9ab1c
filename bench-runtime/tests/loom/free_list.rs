//! The free list of cells: pieces that many threads push come out once, with their links written.

use crate::free_list_source::{FreeList, Link};
use loom::sync::Arc;
use std::ptr::NonNull;

struct Scene {
    list: FreeList,
    pieces: [NonNull<Link>; 3],
}

// SAFETY: the pieces are reached by the rules of the list, which loom checks.
unsafe impl Send for Scene {}
// SAFETY: as above.
unsafe impl Sync for Scene {}

impl Scene {
    fn new(pushed_count: usize) -> Arc<Self> {
        let pieces = [(); 3].map(|()| {
            // Never freed: a model is small, and its process ends.
            let piece = Box::leak(Box::<std::mem::MaybeUninit<Link>>::new_uninit());
            NonNull::from(piece).cast()
        });
        let scene = Arc::new(Self {
            list: FreeList::new(),
            pieces,
        });
        (0..pushed_count).for_each(|piece| scene.push(piece));
        scene
    }

    fn push(&self, piece: usize) {
        // SAFETY: each piece is pushed by its owner.
        unsafe { self.list.push(self.pieces[piece]) };
    }

    fn pop(&self) -> Option<usize> {
        // SAFETY: one thread pops, except in the canary.
        let piece = unsafe { self.list.pop() }?;
        self.pieces.iter().position(|other| *other == piece)
    }
}

#[test]
fn pieces_pushed_by_two_come_out_once() {
    loom::model(|| {
        let scene = Scene::new(0);
        let pushers = [0, 1].map(|piece| {
            let scene = scene.clone();
            loom::thread::spawn(move || scene.push(piece))
        });
        let mut popped: Vec<usize> = scene.pop().into_iter().collect();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        popped.extend(std::iter::from_fn(|| scene.pop()));
        popped.sort_unstable();
        assert_eq!(popped, [0, 1]);
    });
}

/// A popped piece is pushed back while another piece is popped.
fn pop_while_a_popped_piece_is_pushed(poppers: usize) {
    let scene = Scene::new(2);
    let threads: Vec<_> = (0..poppers)
        .map(|_| {
            let scene = scene.clone();
            loom::thread::spawn(move || {
                let first = scene.pop();
                let second = scene.pop();
                if let Some(first) = first {
                    scene.push(first);
                }
                second
            })
        })
        .collect();
    scene.push(2);
    let mut held: Vec<usize> = Vec::new();
    for thread in threads {
        held.extend(thread.join().unwrap());
    }
    held.extend(std::iter::from_fn(|| scene.pop()));
    held.sort_unstable();
    assert_eq!(held, [0, 1, 2], "each piece once");
}

#[test]
fn one_popper_meets_no_aba() {
    loom::model(|| pop_while_a_popped_piece_is_pushed(1));
}

#[test]
#[should_panic]
fn canary_two_poppers() {
    crate::bounded(3, || pop_while_a_popped_piece_is_pushed(2));
}
