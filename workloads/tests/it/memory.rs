use workloads::ledger::Memory;
use workloads::protocol::{ErrorKind, Parameters, Response};

use crate::program::Program;

fn ask(lane: &str, tasks: u64) -> Response {
    let (mut program, _) = Program::start(lane);
    let case = [("tasks_count", tasks), ("wait_ns", 10_000_000)];
    let case: Parameters = case.map(|(name, value)| (name.to_owned(), value)).into();
    program.run(1, "memory.parked", &case, 1)
}

fn parked(lane: &str, tasks: u64) -> Memory {
    match ask(lane, tasks) {
        Response::Sample(sample) => sample.memory.expect("two readings"),
        other => panic!("{lane}: {other:?}"),
    }
}

fn assert_kernel_tasks(memory: &Memory, tasks: i64) {
    let stack = memory.kernel_stack_bytes / tasks;
    assert!(
        stack >= 4_096 && stack.count_ones() == 1 && memory.kernel_stack_bytes % tasks == 0,
        "{memory:?}"
    );
    // Two pages of the task's stack, and a page of page tables.
    assert!(memory.anonymous_bytes >= 8_192 * tasks, "{memory:?}");
    assert!(memory.page_tables_bytes >= 4_000 * tasks, "{memory:?}");
}

#[test]
fn thread_has_a_kernel_stack_and_pages_of_its_own() {
    assert_kernel_tasks(&parked("thread", 500), 500);
}

#[test]
fn forked_process_has_page_tables_besides_what_a_thread_has() {
    let memory = parked("process", 50);
    assert_kernel_tasks(&memory, 50);
    assert!(memory.page_tables_bytes >= 5 * 4_096 * 50, "{memory:?}");
}

#[test]
fn task_of_a_runtime_costs_pages_only() {
    for lane in ["threadbare", "tokio", "smol"] {
        if workloads::lanes::find(lane).is_none() {
            eprintln!("skipped: this build has no lane {lane}");
            continue;
        }
        let memory = parked(lane, 20_000);
        // The ledger counts the host's slab only up to what the lane's own new kernel objects take,
        // so other programs hardly change these parts.
        let kernel = memory.kernel_stack_bytes + memory.slab_bytes + memory.percpu_bytes;
        // The smallest kernel object has some hundred bytes: no task has one.
        assert!(kernel < 64 * 20_000, "{lane}: {memory:?}");
        let pages = memory.anonymous_bytes + memory.page_tables_bytes;
        assert!(pages >= 100 * 20_000, "{lane}: {memory:?}");
        assert_eq!(memory.sum(), kernel + pages, "{lane}");
    }
}

#[test]
fn tasks_with_mapped_stacks_beyond_the_limit_of_mappings_are_refused_by_its_name() {
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let most: u64 = most.trim().parse().unwrap();
    for lane in ["thread", "may", "corosensei"] {
        if workloads::lanes::find(lane).is_none() {
            eprintln!("skipped: this build has no lane {lane}");
            continue;
        }
        match ask(lane, most) {
            Response::Error { kind, message, .. } => {
                assert_eq!(kind, ErrorKind::Limit, "{lane}: {message}");
                assert!(message.contains("vm.max_map_count"), "{lane}: {message}");
            }
            other => panic!("{lane}: {other:?}"),
        }
    }
}
