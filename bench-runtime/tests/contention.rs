//! The profiles of waits. They belong to the process, so each test is a separate process. On the
//! fake clock each wait has a known length.

mod child;
mod pprof;
mod start;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bench_runtime::sync::{Cond, Mutex, RwMutex, WaitGroup};
use bench_runtime::time::sleep;
use bench_runtime::{
    ContendedStack, ContentionProfile, Frame, Receiver, Runtime, Sender, block_profile, chan, go,
    mutex_profile, select, set_block_profile_rate, set_mutex_profile_fraction,
};
use child::{in_child, must_end};
use start::Start;

/// How long a goroutine holds a lock. The wait for the lock begins `LATER` after the hold.
const TAKES: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_millis(1);
const WAITED: Duration = Duration::from_millis(999);

/// The number of stacks that call this function, the number of their waits, and the waits' total
/// time.
fn waits_of(profile: &ContentionProfile, function: &str) -> (usize, u64, Duration) {
    let is_it = |frame: &Frame| frame.function.rsplit("::").next() == Some(function);
    let has = |stack: &&ContendedStack| stack.frames.iter().any(is_it);
    let found: Vec<_> = profile.stacks.iter().filter(has).collect();
    let count = found.iter().map(|stack| stack.count).sum();
    (
        found.len(),
        count,
        found.iter().map(|stack| stack.delay).sum(),
    )
}

const NONE: (usize, u64, Duration) = (0, 0, Duration::ZERO);

#[inline(never)]
fn hold_the_mutex(mutex: &Mutex<()>) {
    let held = mutex.lock();
    sleep(TAKES);
    drop(held);
    black_box(());
}

#[inline(never)]
fn wait_for_the_mutex(mutex: &Mutex<()>) {
    drop(mutex.lock());
    black_box(());
}

fn on_fake_time(body: impl FnOnce() + Send + 'static) {
    let runtime = Runtime::builder().procs(1).fake_time().start().unwrap();
    runtime.run(body);
}

fn contend() {
    on_fake_time(|| {
        let mutex = Arc::new(Mutex::new(()));
        let theirs = mutex.clone();
        let holds = go(move || hold_the_mutex(&theirs));
        sleep(LATER);
        let waits = go(move || wait_for_the_mutex(&mutex));
        waits.join().unwrap();
        holds.join().unwrap();
    });
}

fn set_profiles(on: bool) {
    set_block_profile_rate(Duration::from_nanos(on.into()));
    set_mutex_profile_fraction(on.into());
}

#[test]
fn profiles_are_empty_unless_they_are_enabled() {
    must_end(in_child(
        "profiles_are_empty_unless_they_are_enabled",
        || {
            contend();
            assert_eq!(block_profile(), ContentionProfile::default());
            assert_eq!(mutex_profile(), ContentionProfile::default());
            set_profiles(true);
            contend();
            let profiles = (block_profile(), mutex_profile());
            assert!(!profiles.0.stacks.is_empty() && !profiles.1.stacks.is_empty());
            set_profiles(false);
            contend();
            assert_eq!((block_profile(), mutex_profile()), profiles);
        },
    ));
}

#[test]
fn waiter_and_unlocker_of_a_mutex_are_named_with_the_time() {
    must_end(in_child(
        "waiter_and_unlocker_of_a_mutex_are_named_with_the_time",
        || {
            set_profiles(true);
            contend();
            contend();
            let (blocked, locks) = (block_profile(), mutex_profile());
            let twice = (1, 2, 2 * WAITED);
            assert_eq!(waits_of(&blocked, "wait_for_the_mutex"), twice, "{blocked}");
            assert_eq!(waits_of(&blocked, "hold_the_mutex"), NONE, "{blocked}");
            assert_eq!(waits_of(&locks, "hold_the_mutex"), twice, "{locks}");
            assert_eq!(waits_of(&locks, "wait_for_the_mutex"), NONE, "{locks}");
            assert_eq!(locks.stacks.len(), 1, "{locks}");
            let text = locks.to_string();
            assert!(text.starts_with("2 contentions, 1.998s:\n"), "{text}");
            let frames = &locks.stacks[0].frames;
            let files = [frames.first(), frames.last()].map(|frame| frame?.file.as_deref());
            assert!(files[0].unwrap().ends_with("src/sync/mutex.rs"), "{locks}");
            assert!(
                files[1].unwrap().ends_with("tests/contention.rs"),
                "{locks}"
            );
        },
    ));
}

#[test]
fn one_unlock_ends_the_waits_of_all_readers() {
    #[inline(never)]
    fn write_for_long(lock: &RwMutex<()>) {
        let held = lock.write();
        sleep(TAKES);
        drop(held);
        black_box(());
    }
    must_end(in_child("one_unlock_ends_the_waits_of_all_readers", || {
        set_mutex_profile_fraction(1);
        on_fake_time(|| {
            let lock = Arc::new(RwMutex::new(()));
            let theirs = lock.clone();
            let mut all = vec![go(move || write_for_long(&theirs))];
            sleep(LATER);
            all.extend((0..3).map(|_| {
                let lock = lock.clone();
                go(move || drop(lock.read()))
            }));
            all.into_iter().for_each(|one| one.join().unwrap());
        });
        let locks = mutex_profile();
        assert_eq!(
            waits_of(&locks, "write_for_long"),
            (1, 1, 3 * WAITED),
            "{locks}"
        );
    }));
}

#[inline(never)]
fn receives(rx: &Receiver<()>) {
    rx.recv();
    black_box(());
}

#[inline(never)]
fn sends(tx: &Sender<()>) {
    tx.send(()).unwrap();
    black_box(());
}

#[inline(never)]
fn selects(rx: &Receiver<()>, never: &Receiver<()>) {
    select! {
        recv(rx) -> _ => {},
        recv(never) -> _ => {},
    }
    black_box(());
}

#[inline(never)]
fn receives_until_a_deadline(rx: &Receiver<()>) {
    assert!(rx.recv_timeout(WAITED).is_err());
    black_box(());
}

#[inline(never)]
fn waits_for_a_group(group: &WaitGroup) {
    group.wait();
    black_box(());
}

#[inline(never)]
fn waits_for_a_signal(pair: &(Mutex<bool>, Cond)) {
    drop(pair.1.wait_while(pair.0.lock(), |is_set| !*is_set));
    black_box(());
}

#[inline(never)]
fn sleeps() {
    sleep(WAITED);
    black_box(());
}

#[test]
fn every_kind_of_wait_counts_but_sleep() {
    must_end(in_child("every_kind_of_wait_counts_but_sleep", || {
        set_block_profile_rate(Duration::from_nanos(1));
        on_fake_time(|| {
            let (received, selected, sent) = (chan(0), chan(0), chan(0));
            let (_open, never) = chan(0);
            let (_open, late) = chan(0);
            let group = WaitGroup::new();
            let pair = Arc::new((Mutex::new(false), Cond::new()));
            let theirs = pair.clone();
            group.go(|| sleep(WAITED));
            let waits = group.clone();
            let all = [
                go(move || receives(&received.1)),
                go(move || selects(&selected.1, &never)),
                go(move || sends(&sent.0)),
                go(move || receives_until_a_deadline(&late)),
                go(move || waits_for_a_group(&waits)),
                go(move || waits_for_a_signal(&theirs)),
                go(sleeps),
            ];
            sleep(WAITED);
            received.0.send(()).unwrap();
            selected.0.send(()).unwrap();
            sent.1.recv();
            *pair.0.lock() = true;
            pair.1.signal();
            all.into_iter().for_each(|one| one.join().unwrap());
        });
        let blocked = block_profile();
        for function in [
            "receives",
            "selects",
            "sends",
            "receives_until_a_deadline",
            "waits_for_a_group",
            "waits_for_a_signal",
        ] {
            assert_eq!(
                waits_of(&blocked, function),
                (1, 1, WAITED),
                "{function}: {blocked}"
            );
        }
        assert_eq!(waits_of(&blocked, "sleeps"), NONE, "{blocked}");
    }));
}

#[test]
fn pprof_of_go_opens_both_profiles() {
    must_end(in_child("pprof_of_go_opens_both_profiles", || {
        set_profiles(true);
        contend();
        for (profile, function) in [
            (block_profile(), "wait_for_the_mutex"),
            (mutex_profile(), "hold_the_mutex"),
        ] {
            let Some(said) = pprof::top(|out| profile.write_pprof(out)) else {
                return;
            };
            assert!(said.contains("Type: delay"), "{said}");
            let line = said.lines().find(|line| line.contains(function));
            assert!(line.is_some_and(|line| line.contains("999ms")), "{said}");
        }
    }));
}
