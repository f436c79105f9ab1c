//! What a goroutine weighs, by the whole ledger: resident memory, page tables,
//! the kernel's slab, and what the machine has left.
//!
//! ```text
//! cargo run --release --example memory [COUNT...]     # 100000 1000000
//! ```
//!
//! Each row is a process of its own that makes COUNT goroutines, brings them
//! to the state, reads the ledger, wakes all of them and checks their sum. A
//! Go toolchain in the path adds Go's row. 10000000 wants 9 GB.

use std::fs;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::{Builder, Runtime, StackPolicy, chan, compaction_stats, go, yield_now};

/// Parked for this long before it is compacted.
const AFTER: Duration = Duration::from_millis(100);

/// More goroutines than this that run or wait uncompacted would not fit.
const BACKLOG: usize = 1_000_000;

const STATES: [(&str, &str); 7] = [
    ("unrun", "spawned, not yet run"),
    ("parked", "parked, 256 KiB limit (the default)"),
    ("parked-64k", "parked, 64 KiB limit"),
    ("fixed-8k", "parked, fixed 8 KiB"),
    ("compacted", "parked and compacted, 256 KiB limit"),
    ("compacted-64k", "parked and compacted, 64 KiB limit"),
    ("go", "Go: parked"),
];

static STARTED: AtomicUsize = AtomicUsize::new(0);
static SUM: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// What a process and its kernel hold, in bytes.
#[derive(Clone, Copy, Debug)]
struct Ledger {
    resident: i64,
    page_tables: i64,
    slab: i64,
    available: i64,
}

impl Ledger {
    fn read() -> Option<Self> {
        Self::of("self")
    }

    fn of(process: &str) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let machine = fs::read_to_string("/proc/meminfo").ok()?;
        let field = |text: &str, name: &str| -> Option<i64> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_whitespace().nth(1)?.parse::<i64>().ok()? * 1024)
        };
        Some(Self {
            resident: field(&status, "VmRSS:")?,
            page_tables: field(&status, "VmPTE:")?,
            slab: field(&machine, "Slab:")?,
            available: field(&machine, "MemAvailable:")?,
        })
    }

    fn print(self, before: Self, label: &str, count: usize, more: &str) {
        let each = |after: i64, before: i64| (after - before) as f64 / count as f64;
        let resident = each(self.resident, before.resident);
        let tables = each(self.page_tables, before.page_tables);
        println!(
            "{label:38} {count:>9} {:>9.0} {resident:>9.0} {tables:>8.0} {:>6.0} {:>9.0}  {more}",
            resident + tables,
            each(self.slab, before.slab),
            each(before.available, self.available),
        );
    }
}

fn heading() {
    println!(
        "{:38} {:>9} {:>9} {:>9} {:>8} {:>6} {:>9}",
        "bytes a goroutine", "count", "total", "resident", "tables", "slab", "machine"
    );
}

fn builder(state: &str) -> Builder {
    let growable = |limit| StackPolicy::Growable {
        initial: 2 << 10,
        limit,
    };
    let builder = Runtime::builder().procs(2);
    match state {
        "unrun" => builder.procs(1),
        "parked-64k" => builder.stack(growable(64 << 10)),
        "fixed-8k" => builder.stack(StackPolicy::Fixed(8 << 10)),
        "compacted" => builder.compact_stacks(AFTER),
        "compacted-64k" => builder.stack(growable(64 << 10)).compact_stacks(AFTER),
        _ => builder,
    }
}

fn compacted() -> usize {
    let stats = compaction_stats();
    (stats.compacted_count - stats.restored_count) as usize
}

/// Waits until something holds.
fn until(holds: impl Fn() -> bool) {
    while !holds() {
        bench_runtime::time::sleep(Duration::from_millis(2));
    }
}

/// The child: one state, one row.
fn measure(label: &'static str, state: &str, count: usize) -> std::io::Result<()> {
    let runtime = builder(state).build()?;
    let (unrun, compacts) = (state == "unrun", state.starts_with("compacted"));
    let ok = runtime.run(move || {
        // What the first goroutine costs belongs to the runtime.
        let _ = go(|| ()).join();
        let (sender, receiver) = chan::<u64>(0);
        let Some(before) = Ledger::read() else {
            return false;
        };
        let start = Instant::now();
        for index in 0..count {
            let receiver = receiver.clone();
            drop(go(move || {
                STARTED.fetch_add(1, Ordering::Relaxed);
                if let Some(value) = receiver.recv() {
                    SUM.fetch_add(value, Ordering::Relaxed);
                }
                ENDED.fetch_add(1, Ordering::Relaxed);
            }));
            if !unrun && index % 64 == 63 {
                yield_now();
            }
            if compacts && index % 65_536 == 65_535 {
                until(|| STARTED.load(Ordering::Relaxed) > index - 1000);
                until(|| index - compacted() < BACKLOG);
            }
        }
        let made = start.elapsed();
        if !unrun {
            until(|| STARTED.load(Ordering::Relaxed) == count);
            bench_runtime::time::sleep(Duration::from_millis(50));
        }
        let start = Instant::now();
        if compacts {
            // All but a few that neighbours of running ones keep waiting.
            until(|| compacted() + count / 1000 >= count);
        }
        let compacting = start.elapsed();
        let Some(after) = Ledger::read() else {
            return false;
        };
        let start = Instant::now();
        for value in 0..count {
            let _ = sender.send(value as u64);
            // Who is woken holds whole pages until it has run: a program that
            // wakes faster than it runs needs the room for it.
            if value % 65_536 == 65_535 {
                until(|| ENDED.load(Ordering::Relaxed) > value);
            }
        }
        until(|| ENDED.load(Ordering::Relaxed) == count);
        let woken = start.elapsed();
        let each = |time: Duration| time.as_nanos() as f64 / count as f64;
        let expected = count as u64 * (count as u64 - 1) / 2;
        let right = SUM.load(Ordering::Relaxed) == expected;
        after.print(
            before,
            label,
            count,
            &format!(
                "made in {:.0} ns each, compacted {:.0} ns later, woken in {:.0} ns, sum {}",
                each(made),
                each(compacting),
                each(woken),
                if right { "right" } else { "WRONG" }
            ),
        );
        right
    });
    match ok {
        true => Ok(()),
        false => Err(std::io::Error::other("the ledger or the sum is wrong")),
    }
}

/// Go's row: the same program, which prints the same ledger.
fn measure_go(label: &str, count: usize) -> std::io::Result<()> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/memory.go");
    let output = Command::new("go")
        .args(["run", source])
        .arg(count.to_string())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("{label:38} {count:>9}  skipped: no go toolchain ({error})");
            return Ok(());
        }
    };
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(std::io::Error::other(format!("go run failed: {stderr}")));
    }
    // Before and after, each as resident, page tables, slab, available.
    let numbers: Vec<i64> = String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [r0, p0, s0, a0, r1, p1, s1, a1] = numbers[..] else {
        return Err(std::io::Error::other("the Go program printed no ledger"));
    };
    let ledger = |resident, page_tables, slab, available| Ledger {
        resident,
        page_tables,
        slab,
        available,
    };
    ledger(r1, p1, s1, a1).print(ledger(r0, p0, s0, a0), label, count, "");
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, state, count] = &arguments[..]
        && flag == "--one"
        && let (Some((state, label)), Ok(count)) =
            (STATES.iter().find(|(name, _)| name == state), count.parse())
    {
        let answer = match *state {
            "go" => measure_go(label, count),
            _ => measure(label, state, count),
        };
        return match answer {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("{label:38} {count:>9}  failed: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let counts: Vec<String> = match arguments.is_empty() {
        true => ["100000", "1000000"].map(String::from).to_vec(),
        false => arguments,
    };
    let mut code = ExitCode::SUCCESS;
    heading();
    for count in counts {
        for (state, _) in STATES {
            // Beyond what fits uncompacted, only what can be shown.
            let huge = count.len() > 7 && !matches!(state, "unrun" | "compacted-64k");
            if huge {
                continue;
            }
            let child = std::env::current_exe()
                .and_then(|exe| Command::new(exe).args(["--one", state, &count]).status());
            if !child.is_ok_and(|status| status.success()) {
                println!("{state} with {count} goroutines failed");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
