//! Reads the stacks of suspended goroutines, and the objects that they wait for. It delays no
//! goroutine: a goroutine that is readied meanwhile continues, and its stack counts as not read.
//!
//! | resume                               | inspection                               |
//! |--------------------------------------|------------------------------------------|
//! | R2 read `context`: saved, or watched | I1 `context`: saved to watched           |
//! | R3 store "on this M", resume         | I2 read the stack, and memory it points to|
//! | R4 the goroutine writes              | I3 heavy barrier                         |
//! |                                      | I4 status Waiting, then `context`: watched to saved: the data is valid |
//! |                                      | I4 else it was readied: drop the data     |
//!
//! If I2 has read a write of R4, then by I3 and the light barrier before R2, I4 sees the status
//! Runnable or a later one. If the later status is Waiting again, I4 sees that `context` is not
//! watched: a park stores `context` without the watch, and only one thread at a time inspects. R1,
//! the ready, is in the table of [`crate::goroutine::stacks`].
//!
//! Other threads may write or free the memory that I2 reads: a stack, a mutex, a name. So the
//! kernel reads it, and before I4 only the kernel follows an address that was read. A name is valid
//! if the record is still that goroutine's, and still points to the name.
//!
//! The barrier of a batch interrupts each CPU once. Another inspection waits until the batch is
//! read.

use std::borrow::Cow;
use std::mem::offset_of;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::goroutine::header::header_of_started;
use crate::goroutine::stacks::is_claimed;
use crate::goroutine::{
    Details, FLAG_COMPACTED, FRESH, Goroutine, RUNNING_BIT, Status, WATCHED_BIT, WaitReason, claim,
};
use crate::stack::compact::place_of;
use crate::stack::{Stack, StackHeader, WaitObject, header_of, sweep};
use crate::sys::own_memory::Reading;
use crate::util::lock::Lock;

/// The largest number of goroutines in a batch, which takes one heavy barrier. SPEED.md has its
/// cost.
pub(crate) const BATCH: usize = 256;
/// The most bytes that are read of a stack, from its innermost frame, or of a name. Chosen, not
/// measured.
pub(crate) const MOST_BYTES: usize = 32 << 10;

static ONE_AT_A_TIME: Lock<()> = Lock::new(());

#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) g: &'static Goroutine,
    pub(crate) id: u64,
    pub(crate) status: Status,
    pub(crate) reason: WaitReason,
    pub(crate) site: Option<&'static Location<'static>>,
    pub(crate) name: Option<Cow<'a, str>>,
    /// The object for which `g` waits; null if there is none.
    pub(crate) object: *const (),
    /// The goroutine that `g` joins, or that holds the mutex for which `g` waits.
    pub(crate) held_by: Option<u64>,
    /// `None` if `g` was not suspended, or continued meanwhile.
    pub(crate) stack: Option<Copied<'a>>,
    /// Whether the sweep had claimed `g`, so that its stack could not be read.
    pub(crate) is_claimed: bool,
}

#[derive(Debug)]
pub(crate) struct Copied<'a> {
    /// The saved context, at which the bytes begin.
    pub(crate) saved: usize,
    pub(crate) bytes: &'a [u8],
    /// How long the sweep has seen it parked; it may have been parked for longer.
    pub(crate) age: Duration,
}

/// Buffers that are used for one batch after the other.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    all: Vec<Inspected>,
    /// For each watched goroutine: the stack, then the wait object.
    stacks: Reading,
    /// For each goroutine with details: their words.
    details: Reading,
    /// For each goroutine that waits for a mutex: the holder. For each with a name: the name.
    holders_and_names: Reading,
}

#[derive(Debug)]
struct Inspected {
    g: &'static Goroutine,
    id: u64,
    status: Status,
    reason: WaitReason,
    site: usize,
    details: Option<usize>,
    name: Option<usize>,
    watched: Option<Watched>,
    is_claimed: bool,
}

#[derive(Debug)]
struct Watched {
    stack: Stack,
    saved: usize,
    /// The address at which the bytes are read: `saved`, or an address in the cell of a compacted
    /// stack.
    place: usize,
    index: usize,
    /// If the holder of a mutex is read: the address of the mutex, the address at which it is read,
    /// and the index in [`Inspection::holders_and_names`].
    mutex: Option<(usize, usize, usize)>,
}

impl Inspection {
    pub(crate) fn inspect_all(
        &mut self,
        goroutines: &[&'static Goroutine],
        batch: usize,
        most_bytes: usize,
        mut each: impl FnMut(Seen<'_>),
    ) {
        let mut remaining = goroutines;
        while !remaining.is_empty() {
            let (now, later) = remaining.split_at(remaining.len().min(batch));
            self.read(now, most_bytes);
            remaining = later;
            let now_ms = (crate::sys::clock::now_ns() / 1_000_000) as u32;
            for one in &self.all {
                each(self.seen(one, now_ms));
            }
        }
    }

    fn read(&mut self, goroutines: &[&'static Goroutine], most_bytes: usize) {
        let Self {
            all,
            stacks,
            details,
            holders_and_names,
        } = self;
        all.clear();
        for reading in [&mut *stacks, details, holders_and_names] {
            reading.clear();
        }
        let _alone = ONE_AT_A_TIME.lock();
        for &g in goroutines {
            let watched = Watched::begin(g, most_bytes, stacks); // I1
            let mut one = Inspected::of(g);
            one.is_claimed = matches!(watched, Err(context) if is_claimed(context));
            one.watched = watched.ok();
            one.begin_details(details);
            all.push(one);
        }
        // I2
        stacks.read();
        details.read();
        for one in &mut *all {
            if let Some([_, name, bytes]) = one.details(details) {
                one.name = (name != 0).then(|| holders_and_names.add(name, bytes.min(MOST_BYTES)));
            }
            if let Some(watched) = &mut one.watched
                && one.reason == WaitReason::Mutex
                && let Some([object]) = stacks.words(watched.index + 1)
            {
                let mutex = WaitObject::parts(object).0 as usize;
                let place = place_of(mutex);
                let index = holders_and_names.add(place, size_of::<usize>());
                watched.mutex = Some((mutex, place, index));
            }
        }
        holders_and_names.read();
        claim::confirm(); // I3
        for one in &mut *all {
            one.confirm(); // I4
        }
    }

    fn seen(&self, one: &Inspected, now_ms: u32) -> Seen<'_> {
        let mut seen = Seen {
            g: one.g,
            id: one.id,
            status: one.status,
            reason: one.reason,
            site: one.site(&self.details),
            name: None,
            object: ptr::null(),
            held_by: None,
            stack: None,
            is_claimed: one.is_claimed,
        };
        let name = one.name.and_then(|index| self.holders_and_names.get(index));
        seen.name = name.map(String::from_utf8_lossy);
        let Some(watched) = &one.watched else {
            // A waiting goroutine that is not watched: it is about to leave its stack, the sweep
            // has claimed it, its stack is foreign, or it continued and waits again.
            if one.status == Status::Waiting && !one.g.has_flag(FLAG_COMPACTED) {
                let header = header_of_started(one.g);
                seen.object = header.map_or(ptr::null(), |header| header.wait_object.get());
            }
            return seen;
        };
        let object = self
            .stacks
            .words(watched.index + 1)
            .map_or(0, |[word]| word);
        let (object, is_marked) = WaitObject::parts(object);
        seen.object = object;
        seen.held_by = match one.reason {
            WaitReason::Mutex => watched.mutex.and_then(|mutex| self.holder(mutex)),
            WaitReason::Join => id_of(object.cast_mut()),
            _ => None,
        };
        seen.stack = self.stacks.get(watched.index).map(|bytes| Copied {
            saved: watched.saved,
            bytes,
            age: sweep::parked_for(watched.stack, is_marked, now_ms),
        });
        seen
    }

    /// The number of the goroutine that holds, or held last, a mutex.
    fn holder(&self, (mutex, place, index): (usize, usize, usize)) -> Option<u64> {
        let [stack_pointer] = self.holders_and_names.words(index)?;
        if place_of(mutex) != place {
            return None;
        }
        // SAFETY: slots are never unmapped.
        id_of(unsafe { header_of(stack_pointer)?.as_ref() }.g.look())
    }
}

/// The spawn site of a goroutine that may end meanwhile. Never blocks.
pub(crate) fn site_of(g: &'static Goroutine) -> Option<&'static Location<'static>> {
    let mut one = Inspected::of(g);
    let mut details = Reading::default();
    one.begin_details(&mut details);
    if one.details.is_some() {
        details.read();
        claim::confirm();
        one.confirm();
    }
    one.site(&details)
}

fn id_of(g: *mut ()) -> Option<u64> {
    // SAFETY: null or a record, because the caller confirmed the data; records are type-stable.
    let g = unsafe { g.cast::<Goroutine>().as_ref() }?;
    Some(g.id.load(Ordering::Relaxed))
}

impl Inspected {
    fn of(g: &'static Goroutine) -> Self {
        Self {
            g,
            // Acquire: pairs with the Release in `newproc::begin`: the site below is not that of an
            // earlier goroutine.
            id: g.id.load(Ordering::Acquire),
            status: g.status(),
            reason: WaitReason::from_u8(g.head.reason.load(Ordering::Relaxed)),
            site: g.site_word(),
            details: None,
            name: None,
            watched: None,
            is_claimed: false,
        }
    }

    fn begin_details(&mut self, details: &mut Reading) {
        if !self.site.is_multiple_of(2) {
            let bytes = Details::WORDS * size_of::<usize>();
            self.details = Some(details.add(self.site & !1, bytes));
        }
    }

    fn details(&self, details: &Reading) -> Option<[usize; Details::WORDS]> {
        details.words(self.details?)
    }

    /// To be called after [`Self::confirm`].
    fn site(&self, details: &Reading) -> Option<&'static Location<'static>> {
        Goroutine::plain_site(match self.details {
            Some(_) => self.details(details)?[0],
            None => self.site,
        })
    }

    fn confirm(&mut self) {
        let now = Self::of(self.g);
        if self
            .watched
            .as_ref()
            .is_some_and(|watched| !watched.end(self.g))
        {
            self.watched = None;
            (self.status, self.reason) = (now.status, now.reason);
        }
        // The goroutine has ended, perhaps before its site was read.
        let is_other = self.id != now.id || (self.details.is_some() && self.site != now.site);
        if is_other || self.site == 0 {
            self.status = Status::Dead;
            (self.site, self.details, self.name) = (0, None, None);
        }
    }
}

impl Watched {
    /// I1, if the goroutine is suspended in a slot. Else returns its `context`.
    fn begin(
        g: &'static Goroutine,
        most_bytes: usize,
        stacks: &mut Reading,
    ) -> Result<Self, usize> {
        let (context, stack) = loop {
            let context = g.context.load(Ordering::Acquire);
            if context == FRESH || context & (RUNNING_BIT | WATCHED_BIT) != 0 {
                return Err(context);
            }
            let stack = Stack::from_header(header_of(context).ok_or(context)?);
            // If this fails, it was resumed or claimed in between.
            if claim::watch(&g.context, context) {
                break (context, stack);
            }
        };
        let mut watched = Self {
            stack,
            saved: context,
            place: place_of(context),
            index: 0,
            mutex: None,
        };
        watched.index = stacks.add(watched.place, watched.bytes(most_bytes));
        let header = stack.as_ptr().as_ptr() as usize - context;
        let object = watched.place + header + offset_of!(StackHeader, wait_object);
        stacks.add(object, size_of::<AtomicUsize>());
        Ok(watched)
    }

    fn bytes(&self, most_bytes: usize) -> usize {
        let header = self.stack.as_ptr().as_ptr() as usize;
        (header + size_of::<StackHeader>() - self.saved).min(most_bytes)
    }

    /// I4: whether the data is valid. If a compacted stack was restored meanwhile, its cell may
    /// have been reused, so the place must be the same.
    fn end(&self, g: &Goroutine) -> bool {
        let waiting = Status::Waiting as u8;
        claim::unwatch(&g.context, self.saved, &g.head.status, waiting)
            && place_of(self.saved) == self.place
    }
}

#[cfg(all(test, not(rt_loom), not(miri)))]
mod tests {
    use super::*;
    use crate::Runtime;
    use crate::goroutine::CLAIMED_BIT;
    use crate::sched::current;
    use crate::{chan, go, time};

    fn record(id: u64) -> &'static Goroutine {
        let shared = current::runtime().unwrap();
        let mut found = None;
        while found.is_none() {
            crate::yield_now();
            shared.slab().for_each(|g| {
                let context = g.context.load(Ordering::Acquire);
                let suspended = context != FRESH && context & RUNNING_BIT == 0;
                if g.id.load(Ordering::Relaxed) == id && suspended && g.status() == Status::Waiting
                {
                    found = Some(g);
                }
            });
        }
        found.unwrap()
    }

    #[test]
    fn goroutine_that_is_watched_continues_and_the_watch_notices() {
        // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
        let pinned = unsafe { Runtime::builder().procs(1).build() };
        // SAFETY: as above.
        let migrating = unsafe { Runtime::builder().procs(1).migrating().build() };
        for runtime in [pinned.unwrap(), migrating.unwrap()] {
            runtime.run(|| {
                let (tx, rx) = chan::<u32>(0);
                let (answer, answered) = chan::<u32>(0);
                let handle = go(move || rx.iter().for_each(|n| answer.send(n + 1).unwrap()));
                let g = record(handle.id());
                let mut stacks = Reading::default();
                let watch =
                    |stacks: &mut Reading| Watched::begin(g, usize::MAX, stacks).ok().unwrap();

                let quiet = watch(&mut stacks);
                assert!(
                    Watched::begin(g, 0, &mut stacks).is_err(),
                    "one look at a time"
                );
                assert!(quiet.end(g));

                let watched = watch(&mut stacks);
                tx.send(1).unwrap();
                assert_eq!(answered.recv(), Some(2));
                assert!(ptr::eq(record(handle.id()), g));
                assert_eq!(g.context.load(Ordering::Relaxed), watched.saved);
                assert!(!watched.end(g));
                assert!(watch(&mut stacks).end(g));

                let watched = watch(&mut stacks);
                drop(tx);
                handle.join().unwrap();
                stacks.read();
                assert!(!watched.end(g));
            });
        }
    }

    #[test]
    fn goroutine_that_ends_between_its_status_and_its_site_is_dead() {
        let g: &'static Goroutine = Box::leak(Box::new(Goroutine::unused()));
        g.id.store(7, Ordering::Relaxed);
        g.set_status(Status::Runnable);
        let details = Details::new(Location::caller(), Some("it".into()), None);
        g.set_details(Box::new(details));
        let of = || {
            let mut of = None;
            Inspection::default()
                .inspect_all(&[g], BATCH, 0, |seen| of = Some((seen.status, seen.site)));
            of.unwrap()
        };
        assert!(matches!(of(), (Status::Runnable, Some(_))));
        g.drop_details();
        assert_eq!(of(), (Status::Dead, None));
    }

    #[test]
    fn a_compacted_stack_is_read_in_its_cell_and_stays_there() {
        let builder = Runtime::builder().compact_stacks(Duration::from_millis(20));
        // SAFETY: as above. The build fails on some kernels.
        let Ok(runtime) = (unsafe { builder.build() }) else {
            return;
        };
        runtime.run(|| {
            let (tx, rx) = chan::<()>(0);
            let wait = |rx: &crate::Receiver<()>| {
                let rx = rx.clone();
                go(move || rx.recv())
            };
            let waiting: Vec<_> = (0..100).map(|_| wait(&rx)).collect();
            let all: Vec<_> = waiting.iter().map(|one| record(one.id())).collect();
            let in_cell = |g: &&Goroutine| {
                let context = g.context.load(Ordering::Relaxed);
                context & RUNNING_BIT == 0 && place_of(context) != context
            };
            while all.iter().filter(|g| in_cell(g)).count() < 50 {
                time::sleep(Duration::from_millis(5));
            }
            let compacted: Vec<_> = all.into_iter().filter(in_cell).collect();
            let mut shown = 0;
            Inspection::default().inspect_all(&compacted, BATCH, usize::MAX, |seen| {
                let stack = seen.stack.expect("it is parked");
                assert!(stack.bytes.len() > size_of::<StackHeader>());
                assert!(!seen.object.is_null());
                shown += 1;
            });
            assert_eq!(shown, compacted.len());
            assert!(compacted.iter().all(in_cell));
            drop(tx);
            waiting
                .into_iter()
                .for_each(|one| assert_eq!(one.join().unwrap(), None));
        });
    }

    #[test]
    fn goroutine_that_is_claimed_before_it_is_read_is_marked() {
        // SAFETY: as above.
        let runtime = unsafe { Runtime::builder().procs(1).build() }.unwrap();
        runtime.run(|| {
            let (tx, rx) = chan::<()>(0);
            let handle = go(move || rx.recv());
            let g = record(handle.id());
            let saved = g.context.load(Ordering::Relaxed);
            let claimed = saved | RUNNING_BIT | CLAIMED_BIT;
            assert!(claim::claim(&g.context, saved, claimed));
            let mut marks = Vec::new();
            let mut read = |g| {
                Inspection::default().inspect_all(&[g], BATCH, 0, |seen| {
                    claim::release(&g.context, claimed, saved);
                    marks.push((seen.is_claimed, seen.stack.is_some()));
                });
            };
            read(g);
            read(g);
            assert_eq!(marks, [(true, false), (false, true)]);
            drop(tx);
            assert_eq!(handle.join().unwrap(), None);
        });
    }

    #[test]
    fn inspection_of_many_shows_the_wait_object_of_each() {
        // SAFETY: as above.
        let runtime = unsafe { Runtime::builder().procs(2).build() }.unwrap();
        runtime.run(|| {
            const EACH: usize = BATCH / 2;
            let mutex = std::sync::Arc::new(crate::sync::Mutex::new(()));
            let held = mutex.lock();
            let (tx, rx) = chan::<()>(0);
            let first = go(move || rx.recv());
            let first_id = first.id();
            let mut others = Vec::new();
            for _ in 0..EACH {
                let mutex = mutex.clone();
                others.push(go(move || drop(mutex.lock())));
                others.push(go(|| time::sleep(Duration::from_millis(1))));
            }
            let joiner = go(move || first.join().map(|_| ()).unwrap());
            for id in others
                .iter()
                .step_by(2)
                .map(crate::JoinHandle::id)
                .chain([joiner.id()])
            {
                record(id);
            }
            let me = crate::goroutine_id();
            let seen = crate::goroutines();
            let held_by = |id| {
                let seen = seen
                    .iter()
                    .filter(|seen| seen.held_by == id && id.is_some());
                seen.map(|seen| (seen.state.as_str(), seen.object.is_some()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(held_by(me), [("sync.Mutex.lock", true); EACH]);
            assert_eq!(held_by(Some(first_id)), [("join", true)]);
            drop((held, tx));
            others.into_iter().for_each(|other| other.join().unwrap());
            joiner.join().unwrap();
        });
    }
}
