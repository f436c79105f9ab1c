use workloads::lanes;

use crate::program::Program;

const NOT_ON_EVERY_HOST: [&str; 2] = ["threadbare-compacted", "compio"];

fn every_cell_is_right_or_says_why_not(lane: &str) {
    if lanes::find(lane).is_none() {
        eprintln!("skipped: this build has no lane {lane}");
        return;
    }
    let (mut program, hello) = Program::start(lane);
    let cells = program.checked_cells(lane, &hello);
    if cells == 0 && NOT_ON_EVERY_HOST.contains(&lane) {
        eprintln!("skipped: this host has no userfaultfd or no io_uring, which {lane} takes");
        return;
    }
    assert!(cells > 1, "{lane} runs next to nothing");
    let (status, rest) = program.end();
    assert!(status.success(), "{lane} ended with {status}");
    assert_eq!(rest, "", "{lane}");
}

macro_rules! lanes {
    ($($test:ident: $lane:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            every_cell_is_right_or_says_why_not($lane);
        })*

        #[test]
        fn every_lane_is_tested() {
            let tested = [$($lane),*];
            for entry in lanes::ALL {
                assert!(tested.contains(&entry.name), "no test for the lane {}", entry.name);
            }
        }
    };
}

lanes! {
    goroutine: "threadbare",
    goroutine_that_migrates: "threadbare-migrating",
    goroutine_with_fixed_stack: "threadbare-fixed8k",
    goroutine_that_is_compacted: "threadbare-compacted",
    thread: "thread",
    thread_with_small_stacks: "thread-16k",
    thread_with_crossbeam_channels: "thread-crossbeam",
    thread_pool: "thread-pool",
    process: "process",
    process_that_executes_a_program: "process-spawn",
    process_pool: "process-pool",
    tokio: "tokio",
    tokio_on_one_thread: "tokio-ct",
    tokio_with_mimalloc: "tokio-mimalloc",
    tokio_on_one_thread_with_mimalloc: "tokio-ct-mimalloc",
    rayon: "rayon",
    rayon_by_join: "rayon-join",
    may: "may",
    smol: "smol",
    compio: "compio",
    corosensei: "corosensei",
}
