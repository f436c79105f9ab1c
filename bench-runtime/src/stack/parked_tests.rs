//! Tests with simple coroutines (toys) in place of goroutines. Each runs in a separate process,
//! because the sweep visits all stacks of a process.

mod sealed;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::arena::Arena;
use super::claimed::Claimed;
use super::compact::{self, CompactionError};
use super::pool::StackCache;
use super::sweep::{self, Hooks, Policy, Progress, Shrink};
use super::{Class, Stack, StackPolicy, overflow, trim};
use crate::arch;
use crate::sys::child;
use crate::sys::map::{self, PAGE};

const WAITING: u8 = 1;
const CLAIMED: u8 = 2;
const RUNNING: u8 = 3;
const DONE: u8 = 4;

type Body = Box<dyn FnOnce(&Toy) + Send>;

struct Toy {
    status: AtomicU8,
    compacted: AtomicBool,
    stack: Stack,
    /// Its own context while it is parked, its resumer's while it runs.
    context: AtomicUsize,
    body: std::cell::Cell<Option<Body>>,
}

// SAFETY: one thread at a time changes the status and uses the rest.
unsafe impl Sync for Toy {}

unsafe extern "C" fn toy_entry(toy: usize) -> ! {
    // SAFETY: `Toy::start` passes a toy that is never freed.
    let toy = unsafe { &*(toy as *const Toy) };
    toy.body.take().unwrap()(toy);
    toy.leave(DONE);
    unreachable!("a finished toy was resumed");
}

impl Toy {
    fn start(stack: Stack, body: impl FnOnce(&Toy) + Send + 'static) -> &'static Self {
        // SAFETY: a fresh stack.
        let context = unsafe { arch::prepare(stack.top(), toy_entry) };
        let toy: &'static Self = Box::leak(Box::new(Self {
            status: AtomicU8::new(WAITING),
            compacted: AtomicBool::new(false),
            stack,
            context: AtomicUsize::new(context),
            body: std::cell::Cell::new(Some(Box::new(body))),
        }));
        stack
            .header()
            .g
            .set(std::ptr::from_ref(toy).cast_mut().cast());
        toy.resume();
        toy
    }

    fn resume(&self) {
        while self
            .status
            .compare_exchange(WAITING, RUNNING, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            assert_ne!(self.status.load(Ordering::Relaxed), DONE);
            std::thread::yield_now();
        }
        if self.compacted.swap(false, Ordering::Relaxed) {
            compact::restore(self.stack.as_ptr().as_ptr() as usize);
        }
        let to = self.context.load(Ordering::Relaxed);
        // SAFETY: the context was saved by `leave` or prepared, and by the status no other thread
        // resumes it.
        unsafe { arch::switch(self.context.as_ptr(), to, std::ptr::from_ref(self) as usize) };
        if self.status.load(Ordering::Relaxed) == RUNNING {
            self.status.store(WAITING, Ordering::Release);
        }
    }

    fn pause(&self) {
        self.stack.header().wait_object.set(std::ptr::null());
        self.leave(RUNNING);
    }

    fn leave(&self, status: u8) {
        self.status.store(status, Ordering::Relaxed);
        let to = self.context.load(Ordering::Relaxed);
        // SAFETY: the resumer's context, which `resume` saved there.
        unsafe { arch::switch(self.context.as_ptr(), to, 0) };
    }
}

fn toy_of<'a>(g: *mut (), stack: Stack) -> Option<&'a Toy> {
    // SAFETY: headers of these processes name toys, which live for ever.
    let toy = unsafe { g.cast::<Toy>().as_ref() }?;
    (toy.stack == stack).then_some(toy)
}

fn parked(g: *mut (), stack: Stack) -> Option<Shrink> {
    let toy = toy_of(g, stack)?;
    let shrink = match COMPACTS.load(Ordering::Relaxed) {
        true => Shrink::Compact,
        false => Shrink::Trim,
    };
    (toy.status.load(Ordering::Acquire) == WAITING).then_some(shrink)
}

fn claim(g: *mut (), stack: Stack) -> Option<usize> {
    let toy = toy_of(g, stack)?;
    toy.status
        .compare_exchange(WAITING, CLAIMED, Ordering::Acquire, Ordering::Relaxed)
        .ok()?;
    Some(toy.context.load(Ordering::Relaxed))
}

fn release(claimed: &Claimed, compacted: bool) {
    // SAFETY: as in `toy_of`; it was claimed.
    let toy = unsafe { &*claimed.g.cast::<Toy>() };
    if compacted {
        toy.compacted.store(true, Ordering::Relaxed);
    }
    toy.status.store(WAITING, Ordering::Release);
}

static COMPACTS: AtomicBool = AtomicBool::new(false);

const AT_ONCE: Policy = Policy {
    after: Duration::ZERO,
};

fn sweep_once(policy: Policy) {
    static NOW: AtomicUsize = AtomicUsize::new(1);
    sweep::set_hooks(Hooks {
        parked,
        claim,
        // A toy's claim needs no confirming: claiming and resuming exchange the same word.
        confirm: |claimed, each| (0..claimed.len()).for_each(each),
        release,
    });
    loop {
        let now = NOW.fetch_add(1, Ordering::Relaxed) as u32;
        match sweep::step(now, policy) {
            Progress::More => {}
            Progress::Done { .. } => break,
            Progress::Busy | Progress::Nothing => panic!("nobody else sweeps"),
        }
    }
}

/// The first sweep marks the parked toys, and the second acts on them.
fn sweep_twice(policy: Policy) {
    sweep_once(policy);
    sweep_once(policy);
}

fn toys<B: FnOnce(&Toy) + Send + 'static>(
    count: usize,
    policy: StackPolicy,
    body: impl Fn(usize) -> B,
) -> Vec<&'static Toy> {
    let stacks = stacks(count, policy).into_iter().enumerate();
    stacks
        .map(|(index, stack)| Toy::start(stack, body(index)))
        .collect()
}

fn stacks(count: usize, policy: StackPolicy) -> Vec<Stack> {
    let mut cache = StackCache::new();
    let class = Class::for_policy(policy).unwrap();
    let stacks = (0..count).map(|_| cache.take(class).unwrap()).collect();
    std::mem::forget(cache);
    stacks
}

fn resident_pages(from: usize, to: usize) -> usize {
    let mut pages = vec![0; (to - from) / PAGE];
    map::resident(from, &mut pages).unwrap();
    pages.into_iter().map(usize::from).sum()
}

/// Runs `body` in a child process with compaction on; as root, also in a second child, which
/// becomes an ordinary user. Skips the test if the kernel has no userfaultfd or no guard markers.
fn with_compaction(name: &str, body: impl FnOnce() + Copy) {
    let name = format!("stack::parked_tests::{name}");
    child::expect_success(&name, "child", || compacting(body));
    // SAFETY: reads an identity.
    if unsafe { libc::geteuid() } == 0 {
        child::expect_success(&name, "nobody", || match become_unprivileged() {
            Ok(()) => compacting(body),
            Err(error) => eprintln!("skipped: this root may not become another user: {error}"),
        });
    }
}

fn compacting(body: impl FnOnce()) {
    match super::enable_compaction() {
        Ok(()) => {
            // The test thread acts as an M.
            let _guard = overflow::install_for_thread().unwrap();
            COMPACTS.store(true, Ordering::Relaxed);
            body();
        }
        Err(error @ (CompactionError::UserFault(_) | CompactionError::Guards)) => {
            eprintln!("skipped: {error}");
        }
        Err(error) => panic!("{error}"),
    }
}

fn become_unprivileged() -> std::io::Result<()> {
    const NOBODY: u32 = 65_534;
    let done = |answer| match answer {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: changes the identity of this process and touches no memory.
    unsafe {
        done(libc::setgroups(0, std::ptr::null()))?;
        done(libc::setgid(NOBODY))?;
        done(libc::setuid(NOBODY))?;
        assert_eq!(libc::setuid(0), -1, "still root");
        // The files of /proc/self are the process's own again.
        done(libc::prctl(libc::PR_SET_DUMPABLE, 1))
    }
}

fn small() -> StackPolicy {
    StackPolicy::Growable {
        initial: 2 << 10,
        limit: 64 << 10,
    }
}

/// Parks three times, and after each park adds the sum of 40 words on its stack, and the number of
/// the round, to `words[index]`.
fn keeper(words: &'static [AtomicU64], index: usize) -> impl FnOnce(&Toy) + Send {
    move |toy| {
        let local: [u64; 40] = std::array::from_fn(|i| (index * 1000 + i) as u64);
        black_box(&local);
        for round in 0..3 {
            toy.pause();
            let sum: u64 = black_box(&local).iter().sum();
            words[index].fetch_add(sum + round, Ordering::Relaxed);
        }
    }
}

fn keepers_sum(index: usize) -> u64 {
    3 * (0..40).map(|i| (index * 1000 + i) as u64).sum::<u64>() + 3
}

#[test]
fn locals_survive_compaction_and_their_pages_go_back() {
    with_compaction("locals_survive_compaction_and_their_pages_go_back", || {
        const COUNT: usize = 3000;
        let words: &'static [AtomicU64] =
            Box::leak((0..COUNT).map(|_| AtomicU64::new(0)).collect());
        let toys = toys(COUNT, small(), |index| keeper(words, index));
        let bounds: Vec<(usize, usize)> = toys
            .iter()
            .map(|toy| (toy.stack.limit(), toy.stack.slot_top()))
            .collect();
        let resident = || -> usize {
            bounds
                .iter()
                .map(|&(from, to)| resident_pages(from, to))
                .sum()
        };
        for round in 1..=3u64 {
            assert!(resident() >= COUNT);
            sweep_twice(AT_ONCE);
            let stats = compact::stats();
            assert_eq!(stats.compacted_count, round * COUNT as u64);
            assert!(stats.cells_bytes <= COUNT * 1280, "{stats:?}");
            assert_eq!(resident(), 0);
            for toy in &toys {
                toy.resume();
            }
        }
        for (index, word) in words.iter().enumerate() {
            assert_eq!(word.load(Ordering::Relaxed), keepers_sum(index));
        }
        let stats = compact::stats();
        assert_eq!(
            (stats.restored_count, stats.touched_count),
            (3 * COUNT as u64, 0)
        );
        assert_eq!(stats.cells_bytes, 0);
    });
}

#[test]
fn live_part_of_several_pages_survives_compaction() {
    with_compaction("live_part_of_several_pages_survives_compaction", || {
        static SUM: AtomicU64 = AtomicU64::new(0);
        let toys = toys(40, small(), |_| {
            |toy: &Toy| {
                let local = [7u64; 1200];
                black_box(&local);
                toy.pause();
                SUM.fetch_add(black_box(&local).iter().sum(), Ordering::Relaxed);
            }
        });
        sweep_twice(AT_ONCE);
        assert_eq!(compact::stats().compacted_count, 40);
        toys.iter().for_each(|toy| toy.resume());
        assert_eq!(SUM.load(Ordering::Relaxed), 40 * 1200 * 7);
    });
}

type Hammers<'scope> = Vec<std::thread::ScopedJoinHandle<'scope, u64>>;

/// Starts two threads. Until `stop`, each thread picks a random address of `addresses`, at which
/// there are two words. 50 times it adds 1 to the first word and checks that the second is
/// `!0 - index`. Then it calls `after_each` with a random number, and picks again. Each thread
/// returns its count.
fn start_hammers<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    addresses: &'static [AtomicUsize],
    stop: &'static AtomicBool,
    after_each: fn(u64),
) -> Hammers<'scope> {
    let hammer = move |seed: u64| {
        let (mut random, mut count) = (seed * 2 + 1, 0u64);
        while !stop.load(Ordering::Relaxed) {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            let index = (random >> 33) as usize % addresses.len();
            let local = addresses[index].load(Ordering::Acquire);
            // SAFETY: the toys keep their locals until the hammers have stopped.
            let local = unsafe { &*(local as *const [AtomicU64; 2]) };
            for _ in 0..50 {
                local[0].fetch_add(1, Ordering::Relaxed);
                assert_eq!(local[1].load(Ordering::Relaxed), !0 - index as u64);
            }
            count += 50;
            after_each(random);
        }
        count
    };
    (0..2)
        .map(|seed| scope.spawn(move || hammer(seed)))
        .collect()
}

fn written_by(hammers: Hammers<'_>) -> u64 {
    hammers
        .into_iter()
        .map(|hammer| hammer.join().unwrap())
        .sum()
}

#[test]
fn foreign_threads_lose_no_write_and_read_nothing_bad() {
    with_compaction("foreign_threads_lose_no_write_and_read_nothing_bad", || {
        const TOYS: usize = 64;
        const ROUNDS: u64 = 300;
        static ADDRESSES: [AtomicUsize; TOYS] = [const { AtomicUsize::new(0) }; TOYS];
        static STOP: AtomicBool = AtomicBool::new(false);
        static TOTAL: AtomicU64 = AtomicU64::new(0);
        let toys = toys(TOYS, small(), |index| {
            move |toy: &Toy| {
                let local = [AtomicU64::new(0), AtomicU64::new(!0 - index as u64)];
                ADDRESSES[index].store(local.as_ptr() as usize, Ordering::Release);
                for _ in 0..ROUNDS {
                    toy.pause();
                    local[0].fetch_add(1, Ordering::Relaxed);
                }
                toy.pause();
                TOTAL.fetch_add(local[0].load(Ordering::Relaxed), Ordering::Relaxed);
            }
        });
        let hammered: u64 = std::thread::scope(|scope| {
            let hammers = start_hammers(scope, &ADDRESSES, &STOP, |_| {});
            for round in 0..ROUNDS {
                sweep_twice(AT_ONCE);
                if round % 3 == 0 {
                    sweep_twice(AT_ONCE);
                }
                toys.iter().for_each(|toy| toy.resume());
            }
            STOP.store(true, Ordering::Relaxed);
            written_by(hammers)
        });
        toys.iter().for_each(|toy| toy.resume());
        assert_eq!(
            TOTAL.load(Ordering::Relaxed),
            hammered + TOYS as u64 * ROUNDS
        );
        let stats = compact::stats();
        eprintln!("{hammered} foreign writes, {stats:?}");
        assert!(stats.touched_count > 0 && hammered > 1_000_000, "{stats:?}");
    });
}

#[test]
fn system_call_of_another_thread_on_a_compacted_page_fails() {
    // `Builder::compact_stacks` documents this restriction.
    with_compaction(
        "system_call_of_another_thread_on_a_compacted_page_fails",
        || {
            static LOCAL: AtomicUsize = AtomicUsize::new(0);
            let toys = toys(20, small(), |_| {
                |toy: &Toy| {
                    let local = black_box([1u8; 64]);
                    LOCAL.store(local.as_ptr() as usize, Ordering::Relaxed);
                    toy.pause();
                    assert_eq!(black_box(&local)[5], 1);
                }
            });
            sweep_twice(AT_ONCE);
            let local = LOCAL.load(Ordering::Relaxed);
            let write = || {
                let mut ends = [0; 2];
                // SAFETY: a pipe of the test's own; the buffer is of a parked toy.
                unsafe {
                    assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
                    libc::write(ends[1], local as *const _, 64)
                }
            };
            assert_eq!(write(), -1);
            assert_eq!(
                std::io::Error::last_os_error().raw_os_error(),
                Some(libc::EFAULT)
            );
            // SAFETY: as above; the access restores the stack.
            assert_eq!(unsafe { *(local as *const u8) }, 1);
            assert_eq!(write(), 64);
            toys.iter().for_each(|toy| toy.resume());
        },
    );
}

#[test]
fn child_of_a_fork_can_touch_what_was_compacted() {
    with_compaction("child_of_a_fork_can_touch_what_was_compacted", || {
        static LOCAL: AtomicUsize = AtomicUsize::new(0);
        let toys = toys(20, small(), |_| {
            |toy: &Toy| {
                let local = black_box([9u8; 64]);
                LOCAL.store(local.as_ptr() as usize, Ordering::Relaxed);
                toy.pause();
                assert_eq!(black_box(&local)[5], 9);
            }
        });
        sweep_twice(AT_ONCE);
        let local = LOCAL.load(Ordering::Relaxed) as *mut u8;
        // SAFETY: the child only uses memory and exits.
        let status = unsafe {
            match libc::fork() {
                0 => {
                    let value = local.read_volatile();
                    local.write_volatile(77);
                    libc::_exit(i32::from(value));
                }
                pid => {
                    let mut status = 0;
                    assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                    status
                }
            }
        };
        assert!(libc::WIFEXITED(status), "{status:#x}");
        assert_eq!(libc::WEXITSTATUS(status), 9);
        toys.iter().for_each(|toy| toy.resume());
        assert_eq!(compact::stats().touched_count, 0);
    });
}

#[test]
fn goroutine_that_parks_briefly_is_left_alone() {
    with_compaction("goroutine_that_parks_briefly_is_left_alone", || {
        static WORDS: [AtomicU64; 40] = [const { AtomicU64::new(0) }; 40];
        let toys = toys(40, small(), |index| keeper(&WORDS, index));
        for _ in 0..3 {
            sweep_once(AT_ONCE);
            toys.iter().for_each(|toy| toy.resume());
        }
        assert_eq!(compact::stats().compacted_count, 0);
        let patient = Policy {
            after: Duration::from_secs(3600),
        };
        sweep_twice(patient);
        assert_eq!(compact::stats().compacted_count, 0);
    });
}

#[test]
fn pages_of_a_deep_call_go_back_while_parked() {
    const NAME: &str = "stack::parked_tests::pages_of_a_deep_call_go_back_while_parked";
    #[inline(never)]
    fn deep() {
        black_box([1u8; 150 << 10]);
    }
    child::expect_success(NAME, "child", || {
        let toys = toys(3, StackPolicy::default(), |_| {
            |toy: &Toy| {
                let local = black_box(5);
                toy.pause();
                deep();
                toy.pause();
                assert_eq!(black_box(local), 5);
            }
        });
        toys.iter().for_each(|toy| toy.resume());
        let usage = trim::measure(toys[0].stack);
        assert!(usage.committed_bytes >= 150 << 10, "{usage:?}");
        sweep_twice(Policy {
            after: Duration::ZERO,
        });
        for toy in &toys {
            let usage = trim::measure(toy.stack);
            assert!(usage.committed_bytes <= 2 * PAGE, "{usage:?}");
            assert!(usage.peak_bytes >= 150 << 10, "{usage:?}");
            assert!(usage.growth_count >= 36, "{usage:?}");
            assert!(usage.limit_bytes > 8 << 20, "{usage:?}");
        }
        toys.iter().for_each(|toy| toy.resume());
    });
}

#[test]
fn fixed_stack_keeps_its_pages() {
    const NAME: &str = "stack::parked_tests::fixed_stack_keeps_its_pages";
    child::expect_success(NAME, "child", || {
        let stack = stacks(1, StackPolicy::Fixed(8 << 10))[0];
        let toy = Toy::start(stack, |toy| {
            black_box([1u8; 5000]);
            toy.pause();
        });
        sweep_twice(Policy {
            after: Duration::ZERO,
        });
        assert_eq!(trim::measure(stack).committed_bytes, 2 * PAGE);
        toy.resume();
    });
}

#[test]
fn free_stacks_give_their_pages_back_in_halves() {
    const NAME: &str = "stack::parked_tests::free_stacks_give_their_pages_back_in_halves";
    child::expect_success(NAME, "child", || {
        let stacks = stacks(1000, small());
        let bounds: Vec<(usize, usize)> = stacks
            .iter()
            .map(|stack| (stack.limit(), stack.slot_top()))
            .collect();
        let mut cache = StackCache::new();
        stacks.into_iter().for_each(|stack| cache.put(stack));
        let arena = Arena::existing().unwrap();
        cache.drain();
        let resident = || -> usize {
            bounds
                .iter()
                .map(|&(from, to)| resident_pages(from, to))
                .sum()
        };
        assert_eq!(resident(), 1000);
        assert!(trim::in_free_lists(arena));
        assert_eq!(resident(), 500);
        while trim::in_free_lists(arena) {}
        assert_eq!(resident(), 0);
        let class = Class::for_policy(small()).unwrap();
        let again = cache.take(class).unwrap();
        assert_eq!(again.class(), class);
    });
}
