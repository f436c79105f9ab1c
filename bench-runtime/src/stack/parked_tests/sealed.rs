use super::*;

fn page_tables() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPTE:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.unwrap() << 10
}

fn small_chunks() -> StackPolicy {
    StackPolicy::Growable {
        initial: 2 << 10,
        limit: 256 << 10,
    }
}

const TWO_CHUNKS: usize = 512;

#[test]
fn chunk_that_is_all_compacted_gives_its_page_tables_back() {
    with_compaction(
        "sealed::chunk_that_is_all_compacted_gives_its_page_tables_back",
        || {
            assert_eq!(compact::slots_to_seal(1), Some(TWO_CHUNKS / 2));
            static WORDS: [AtomicU64; TWO_CHUNKS] = [const { AtomicU64::new(0) }; TWO_CHUNKS];
            let toys = toys(TWO_CHUNKS, small_chunks(), |index| keeper(&WORDS, index));
            let guarded = |toy: &Toy| {
                // SAFETY: only a guard is there.
                unsafe { !map::kernel_can_write(toy.stack.limit() - 16) }
            };
            for round in 1..=3 {
                let restored = compact::stats().restored_count;
                sweep_twice(AT_ONCE);
                assert_eq!(compact::stats().sealed_count, round * 4 - 2);
                // An access opens the chunk. The restored stack is then compacted again alone, and
                // the chunk is sealed again.
                for at in [3, TWO_CHUNKS - 3] {
                    let header = toys[at].stack.as_ptr().cast::<u8>();
                    // SAFETY: headers are there for ever.
                    unsafe { header.read_volatile() };
                }
                assert_eq!(compact::stats().restored_count, restored + 2);
                for _ in 0..100 {
                    sweep_once(AT_ONCE);
                }
                assert_eq!(compact::stats().sealed_count, round * 4);
                let sealed = page_tables();
                // First a stack at each end, which opens both chunks, and then the other stacks.
                for at in [0, TWO_CHUNKS - 1].into_iter().chain(1..TWO_CHUNKS - 1) {
                    toys[at].resume();
                    assert!(guarded(toys[at]), "no guard below stack {at}");
                }
                // Compared with the sealed state, because the cells had no page tables before the
                // first sweep.
                let freed = page_tables().saturating_sub(sealed);
                assert!(
                    freed >= TWO_CHUNKS * 512 * 9 / 10,
                    "{freed} bytes of page tables freed"
                );
            }
            for (index, word) in WORDS.iter().enumerate() {
                assert_eq!(word.load(Ordering::Relaxed), keepers_sum(index));
            }
        },
    );
}

#[test]
fn deep_stacks_that_are_all_compacted_give_their_page_tables_back() {
    with_compaction(
        "sealed::deep_stacks_that_are_all_compacted_give_their_page_tables_back",
        || {
            const COUNT: usize = 64;
            static WORDS: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];
            let slots = compact::slots_to_seal(Class::DEEP.info().region).unwrap();
            let toys = toys(COUNT, StackPolicy::Auto, |index| keeper(&WORDS, index));
            let guarded = |toy: &Toy| {
                // SAFETY: only a guard is there.
                unsafe { !map::kernel_can_write(toy.stack.limit() - 16) }
            };
            for round in 1..=3 {
                assert!(toys.iter().all(|toy| guarded(toy)));
                sweep_twice(AT_ONCE);
                assert_eq!(
                    compact::stats().sealed_count,
                    (round * COUNT / slots) as u64
                );
                let sealed = page_tables();
                assert!(toys.iter().all(|toy| guarded(toy)));
                for toy in &toys {
                    toy.resume();
                    assert!(toys.iter().all(|toy| guarded(toy)));
                }
                let freed = page_tables().saturating_sub(sealed);
                assert!(freed >= COUNT * PAGE * 9 / 10, "{freed} bytes freed");
            }
            for (index, word) in WORDS.iter().enumerate() {
                assert_eq!(word.load(Ordering::Relaxed), keepers_sum(index));
            }
        },
    );
}

#[test]
fn child_of_a_fork_can_touch_what_lies_in_a_sealed_chunk() {
    with_compaction(
        "sealed::child_of_a_fork_can_touch_what_lies_in_a_sealed_chunk",
        || {
            static ADDRESSES: [AtomicUsize; TWO_CHUNKS] =
                [const { AtomicUsize::new(0) }; TWO_CHUNKS];
            let toys = toys(TWO_CHUNKS, small_chunks(), |index| {
                move |toy: &Toy| {
                    let local = black_box([index as u64; 8]);
                    ADDRESSES[index].store(local.as_ptr() as usize, Ordering::Relaxed);
                    toy.pause();
                    assert_eq!(black_box(&local)[5], index as u64);
                }
            });
            sweep_twice(AT_ONCE);
            assert_eq!(compact::stats().sealed_count, 2);
            // SAFETY: the child only uses memory and exits.
            let status = unsafe {
                match libc::fork() {
                    0 => {
                        let wrong = ADDRESSES.iter().enumerate().filter(|(index, address)| {
                            let local = address.load(Ordering::Relaxed) as *mut u64;
                            let value = local.add(5).read_volatile();
                            local.add(5).write_volatile(7_777);
                            value != *index as u64
                        });
                        libc::_exit(wrong.count().min(255) as i32);
                    }
                    pid => {
                        let mut status = 0;
                        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                        status
                    }
                }
            };
            assert!(libc::WIFEXITED(status), "{status:#x}");
            assert_eq!(libc::WEXITSTATUS(status), 0, "locals that were wrong");
            assert_eq!(compact::stats().restored_count, 0);
            toys.iter().for_each(|toy| toy.resume());
            assert_eq!(compact::stats().restored_count, TWO_CHUNKS as u64);
        },
    );
}

/// Makes single pages mappings of their own until the process may have no more; returns the pages.
fn fill_the_map_limit() -> Vec<usize> {
    let (_, count) = map::map_count_and_limit().unwrap();
    let start = map::reserve(2 * count * PAGE, PAGE).unwrap();
    let mut split = Vec::new();
    for index in 0..count {
        let page = start + 2 * index * PAGE;
        // SAFETY: the range is this test's own.
        if unsafe { map::protect(page, PAGE, map::Access::Read) }.is_err() {
            break;
        }
        split.push(page);
    }
    // A split takes two mappings, so a single mapping may still be left.
    for prot in [libc::PROT_EXEC, libc::PROT_EXEC | libc::PROT_READ].repeat(4) {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new page at an address of the kernel's choice.
        unsafe { libc::mmap(std::ptr::null_mut(), PAGE, prot, flags, -1, 0) };
    }
    split
}

#[test]
fn compaction_goes_on_where_no_mapping_can_be_had() {
    with_compaction(
        "sealed::compaction_goes_on_where_no_mapping_can_be_had",
        || {
            static WORDS: [AtomicU64; TWO_CHUNKS] = [const { AtomicU64::new(0) }; TWO_CHUNKS];
            let toys = toys(TWO_CHUNKS, small_chunks(), |index| keeper(&WORDS, index));
            // The first sweep makes the cells, so that none is made after the limit is reached.
            sweep_twice(AT_ONCE);
            toys.iter().for_each(|toy| toy.resume());
            let before = compact::stats();
            let split = fill_the_map_limit();
            assert!(split.len() > 1000, "only {} mappings made", split.len());
            // A goroutine of the first chunk runs. Protecting the memory before and after it would
            // split a mapping, so the first chunk is not compacted. The second chunk is compacted
            // without a split, but not sealed, because mapping it anew is refused.
            toys[100].status.store(RUNNING, Ordering::Relaxed);
            sweep_twice(AT_ONCE);
            let during = compact::stats();
            let chunk = TWO_CHUNKS as u64 / 2;
            assert_eq!(during.compacted_count, before.compacted_count + chunk);
            assert_eq!(during.sealed_count, before.sealed_count);
            toys[100].status.store(WAITING, Ordering::Relaxed);
            for page in split {
                // SAFETY: as above.
                unsafe { map::protect(page, PAGE, map::Access::None) }.unwrap();
            }
            for _ in 0..2 {
                toys.iter().for_each(|toy| toy.resume());
                sweep_twice(AT_ONCE);
            }
            assert!(compact::stats().sealed_count > during.sealed_count);
            for (index, word) in WORDS.iter().enumerate() {
                assert_eq!(word.load(Ordering::Relaxed), keepers_sum(index));
            }
        },
    );
}

#[test]
fn foreign_threads_lose_no_write_in_a_sealed_chunk() {
    with_compaction(
        "sealed::foreign_threads_lose_no_write_in_a_sealed_chunk",
        || {
            const SEALS: u64 = 60;
            static ADDRESSES: [AtomicUsize; TWO_CHUNKS] =
                [const { AtomicUsize::new(0) }; TWO_CHUNKS];
            static STOP: AtomicBool = AtomicBool::new(false);
            static TOTAL: AtomicU64 = AtomicU64::new(0);
            let toys = toys(TWO_CHUNKS, small_chunks(), |index| {
                move |toy: &Toy| {
                    let local = [AtomicU64::new(0), AtomicU64::new(!0 - index as u64)];
                    ADDRESSES[index].store(local.as_ptr() as usize, Ordering::Release);
                    while !STOP.load(Ordering::Relaxed) {
                        toy.pause();
                    }
                    TOTAL.fetch_add(local[0].load(Ordering::Relaxed), Ordering::Relaxed);
                }
            });
            let hammered: u64 = std::thread::scope(|scope| {
                let hammers = start_hammers(scope, &ADDRESSES, &STOP, |random| {
                    // Long enough for all stacks to be compacted.
                    std::thread::sleep(Duration::from_millis(random >> 61));
                });
                let start = std::time::Instant::now();
                while compact::stats().sealed_count < SEALS
                    || compact::stats().touched_count < SEALS
                {
                    assert!(start.elapsed().as_secs() < 120, "{:?}", compact::stats());
                    sweep_twice(AT_ONCE);
                    sweep_once(AT_ONCE);
                    if compact::stats().sealed_count.is_multiple_of(3) {
                        toys.iter().for_each(|toy| toy.resume());
                    }
                }
                STOP.store(true, Ordering::Relaxed);
                written_by(hammers)
            });
            toys.iter().for_each(|toy| toy.resume());
            assert_eq!(TOTAL.load(Ordering::Relaxed), hammered);
            eprintln!("{hammered} foreign writes, {:?}", compact::stats());
        },
    );
}
