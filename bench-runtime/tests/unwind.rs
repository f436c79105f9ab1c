//! A walk of a goroutine's stack stops at its base: std's backtrace, gdb and perf.

mod start;

use std::backtrace::Backtrace;
use std::hint::black_box;
use std::process::{Command, Stdio};

use bench_runtime::{Runtime, go};
use start::Start;

/// Set in the child that gdb or perf runs.
const CHILD: &str = "BENCH_RUNTIME_UNWIND_CHILD";

#[inline(never)]
fn at_the_top_of_the_stack<T>(f: fn() -> T) -> T {
    let value = f();
    // The call is no tail call, so it has a frame.
    black_box(());
    value
}

#[test]
fn backtrace_in_a_goroutine_ends_at_its_base() {
    let runtime = Runtime::builder().procs(1).start().unwrap();
    let capture = || at_the_top_of_the_stack(|| Backtrace::force_capture().to_string());
    let text = runtime.run(move || go(capture).join().unwrap());
    let frames = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("at "));
    let frames: Vec<&str> = frames.collect();
    let place = |name: &str| frames.iter().position(|frame| frame.contains(name));
    let top = place("at_the_top_of_the_stack").expect(&text);
    let base = place("goroutine_main").expect(&text);
    assert!(top < base, "{text}");
    // The base itself may have a frame; no false frame comes after it.
    assert!(frames.len() - base <= 2, "frames below the base:\n{text}");
}

#[test]
fn gdb_walks_a_goroutine_to_its_base_and_stops() {
    if std::env::var_os(CHILD).is_some() {
        let runtime = Runtime::builder().procs(1).start().unwrap();
        let _ = runtime.run(|| go(|| at_the_top_of_the_stack(|| std::process::abort())).join());
        return;
    }
    let found = Command::new("gdb")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !found.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no gdb on PATH (apt-get install gdb)");
        return;
    }
    let output = Command::new("gdb")
        .args(["--batch", "--nx", "-iex", "set debuginfod enabled off"])
        .args(["-ex", "run", "-ex", "bt 60", "--args"])
        .arg(std::env::current_exe().unwrap())
        .args(["gdb_walks_a_goroutine_to_its_base_and_stops", "--exact"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if text.contains("ptrace") && !text.contains("SIGABRT") {
        eprintln!("skipped: gdb may not trace a child here:\n{text}");
        return;
    }
    assert!(text.contains("SIGABRT"), "{text}");
    let frames: Vec<&str> = text.lines().filter(|l| l.starts_with('#')).collect();
    let top = frames
        .iter()
        .position(|f| f.contains("at_the_top_of_the_stack"));
    let base = frames.iter().position(|f| f.contains("goroutine_main"));
    let (Some(top), Some(base)) = (top, base) else {
        panic!("no way from the call to the base:\n{text}");
    };
    assert!(top < base, "{text}");
    assert!(frames.len() - base <= 2, "frames below the base:\n{text}");
    for complaint in [
        "Backtrace stopped",
        "corrupt stack",
        "(More stack frames follow",
    ] {
        assert!(!text.contains(complaint), "{text}");
    }
}

/// Long enough for many samples, on a busy machine too.
fn work_for_a_while() -> u64 {
    let begin = std::time::Instant::now();
    let mut rounds = 0;
    while begin.elapsed() < std::time::Duration::from_millis(300) {
        rounds = black_box(rounds + 1);
    }
    rounds
}

#[test]
fn perf_walks_a_goroutine_to_its_base_and_stops() {
    const NAME: &str = "perf_walks_a_goroutine_to_its_base_and_stops";
    if std::env::var_os(CHILD).is_some() {
        let runtime = Runtime::builder().procs(1).start().unwrap();
        let rounds = runtime.run(|| go(|| at_the_top_of_the_stack(work_for_a_while)).join());
        assert!(rounds.unwrap() > 0);
        return;
    }
    let data = std::env::temp_dir().join(format!("threadbare-unwind-{}.perf", std::process::id()));
    let record = Command::new("perf")
        .args([
            "record",
            "--event=cpu-clock",
            "--freq=1000",
            "--call-graph=dwarf",
            "--output",
        ])
        .arg(&data)
        .arg(std::env::current_exe().unwrap())
        .args([NAME, "--exact"])
        .env(CHILD, "1")
        .output();
    let record = match record {
        Ok(record) if record.status.success() => record,
        Ok(refused) => {
            let why = String::from_utf8_lossy(&refused.stderr);
            eprintln!("skipped: perf may not record here:\n{why}");
            return;
        }
        Err(error) => {
            eprintln!("skipped: no perf on PATH (apt-get install linux-perf): {error}");
            return;
        }
    };
    let script = Command::new("perf")
        .args(["script", "--no-inline", "--fields=ip,sym", "--input"])
        .arg(&data)
        .output();
    let _ = std::fs::remove_file(&data);
    let text = String::from_utf8_lossy(&script.unwrap().stdout).into_owned();
    let mut seen = 0;
    for sample in text.split("\n\n") {
        let frames: Vec<&str> = sample
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let place = |name: &str| frames.iter().position(|frame| frame.contains(name));
        let (Some(work), Some(base)) = (place("at_the_top_of_the_stack"), place("goroutine_main"))
        else {
            continue;
        };
        seen += 1;
        assert!(work < base, "{sample}");
        assert!(frames.len() - base <= 2, "frames below the base:\n{sample}");
    }
    let recorded = String::from_utf8_lossy(&record.stderr);
    assert!(
        seen > 10,
        "{seen} samples from work to base:\n{recorded}\n{text:.3000}"
    );
}
