//! The program under unusual conditions: signals, files and folders of other users, outputs without
//! a reader, sandboxes.

mod program;

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use program::{
    BOTH, LANE_PROGRAM, kill_for, lane, refuse, resume, run, text, threadbare, threadbare_after,
};

const SMOKE: [&str; 3] = ["--smoke", "--workload", "spawn.one"];
const LONG: [&str; 6] = ["--workload", BOTH, "--processes", "60", "--budget", "60"];

fn smoke(lane: &Path, folder: &Path) -> Output {
    let output = run(threadbare(), lane, &SMOKE, folder).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

fn blocks(folder: &Path) -> usize {
    let text = fs::read_to_string(folder.join("run.jsonl")).unwrap_or_default();
    text.matches(r#""type":"block""#).count()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Starting,
    Calibrating,
    Measuring,
    /// All is measured, and the report waits for a reader of its file, which is a FIFO.
    Writing,
}

/// Sends a signal to a run in this phase. Returns the exit status or the signal that ended the run,
/// the number of kept blocks, and whether there is a report.
fn run_with(signal: Signal, phase: Phase) -> (String, usize, bool) {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("results"));
    let report = folder.join("report.html");
    let arguments = match phase {
        Phase::Measuring => &LONG[..],
        _ => &SMOKE[..],
    };
    let mut command = run(threadbare(), &lane, arguments, &folder);
    command.env("MARKS", dir.path());
    match phase {
        Phase::Starting => command.env("HELLO_S", "2"),
        Phase::Calibrating => command.env("REQUEST_S", "2"),
        Phase::Measuring => &mut command,
        Phase::Writing => {
            fs::create_dir(&folder).unwrap();
            mkfifo(&report, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
            &mut command
        }
    };
    let mut child = command.spawn().unwrap();
    let is_ended = || {
        let text = fs::read_to_string(folder.join("run.jsonl")).unwrap_or_default();
        text.contains(r#""type":"end""#)
    };
    wait_until("the phase", || match phase {
        Phase::Starting => dir.path().join("hello").exists(),
        Phase::Calibrating => dir.path().join("request").exists(),
        Phase::Measuring => blocks(&folder) >= 2,
        Phase::Writing => is_ended(),
    });
    send(&child, signal);
    let run_continues = matches!(signal, Signal::SIGPIPE | Signal::SIGXFSZ);
    if phase == Phase::Measuring && run_continues {
        // Checks that the run continues, then ends it.
        let then = blocks(&folder);
        wait_until("another block", || blocks(&folder) > then + 2);
        send(&child, Signal::SIGKILL);
    }
    if phase == Phase::Writing && signal != Signal::SIGKILL {
        let mut page = String::new();
        fs::File::open(&report)
            .unwrap()
            .read_to_string(&mut page)
            .unwrap();
        assert!(page.ends_with("</html>"), "{signal:?}");
        fs::remove_file(&report).unwrap();
        fs::write(&report, page).unwrap();
    }
    let output = child.wait().unwrap();
    let ended = match (output.code(), output.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, number) => format!("signal {}", number.unwrap()),
    };
    let has_report = fs::metadata(&report).is_ok_and(|facts| facts.is_file());
    if folder.join("run.jsonl").exists() {
        reports::store::read(&folder.join("run.jsonl")).expect("a file that is whole");
    }
    (ended, blocks(&folder), has_report)
}

#[test]
fn every_signal_in_every_phase_keeps_what_was_measured() {
    use Phase::{Calibrating, Measuring, Starting, Writing};
    use Signal::{SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ};

    // A finished smoke run has two blocks.
    const ALL: usize = 2;
    println!("| signal | phase | ended by | blocks kept | report |\n|---|---|---|---|---|");
    std::thread::scope(|scope| {
        let row = |signal: Signal, phase: Phase| {
            let (ended, kept, report) = run_with(signal, phase);
            println!("| {signal} | {phase:?} | {ended} | {kept} | {report} |");
            let is_stop_signal = matches!(signal, SIGINT | SIGTERM | SIGHUP);
            let expected = match phase {
                Starting | Calibrating if is_stop_signal => ("status 130", 0..=0, false),
                Starting | Calibrating if signal == SIGKILL => ("signal 9", 0..=0, false),
                Measuring if is_stop_signal => ("status 130", 2..=119, true),
                Measuring => ("signal 9", 2..=119, false),
                Writing if signal == SIGKILL => ("signal 9", ALL..=ALL, false),
                _ => ("status 0", ALL..=ALL, true),
            };
            assert_eq!(
                (ended.as_str(), report),
                (expected.0, expected.2),
                "{signal} {phase:?}"
            );
            assert!(expected.1.contains(&kept), "{signal} {phase:?}: {kept}");
        };
        for phase in [Starting, Calibrating, Measuring, Writing] {
            scope.spawn(move || {
                for signal in [SIGINT, SIGTERM, SIGHUP, SIGKILL, SIGPIPE, SIGXFSZ] {
                    row(signal, phase);
                }
            });
        }
    });
}

#[test]
fn signal_ignored_by_the_parent_stays_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    for (name, signal) in [("HUP", Signal::SIGHUP), ("INT", Signal::SIGINT)] {
        let marks = tempfile::tempdir().unwrap();
        let request = marks.path().join("request");
        let program = threadbare_after(&format!("trap '' {name}"));
        let child = run(program, &lane, &SMOKE, &marks.path().join("run"))
            .env("MARKS", marks.path())
            .env("REQUEST_S", "0.2")
            .spawn()
            .unwrap();
        wait_until("a request", || request.exists());
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("stopping"));
    }
}

#[test]
fn lanes_are_reaped_though_sigchld_is_ignored_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("run"));
    let program = threadbare_after("trap '' CHLD");
    let output = run(program, &lane, &SMOKE, &folder).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn lane_is_measured_although_a_sandbox_refuses_its_setup_calls() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("run"));
    let mut program = threadbare();
    refuse(
        &mut program,
        &[
            (libc::SYS_setpgid, libc::EPERM),
            (libc::SYS_sched_setaffinity, libc::EPERM),
            (libc::SYS_sched_getaffinity, libc::EPERM),
            (libc::SYS_prctl, libc::EPERM),
            (libc::SYS_waitid, libc::ENOSYS),
            (libc::SYS_epoll_pwait2, libc::EACCES),
        ],
    );
    let output = run(program, &lane, &SMOKE, &folder).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let kept = reports::store::read(&folder.join("run.jsonl")).unwrap();
    for call in ["setpgid", "sched_setaffinity", "prctl"] {
        let is_named = |taint: &reports::schema::Taint| {
            taint.kind == "refused" && taint.message.contains(call)
        };
        assert!(
            kept.taints.iter().any(is_named),
            "{call}: {:?}",
            kept.taints
        );
    }
}

/// Containers refuse io_uring by default.
#[test]
fn refused_io_uring_is_reported_with_cause_and_advice() {
    const SETUP: libc::c_long = libc::SYS_io_uring_setup;
    if workloads::lanes::find("compio").is_none() {
        eprintln!("skipped: this build has no lanes of other runtimes");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let refused = |error: Option<i32>| {
        let mut program = threadbare();
        match error {
            Some(error) => refuse(&mut program, &[(SETUP, error)]),
            None => kill_for(&mut program, &[SETUP]),
        }
        program.env_remove(LANE_PROGRAM);
        program
    };
    let chosen = ["--lane", "compio", "--workload", "io"];
    for (error, cause, advice) in [
        (Some(libc::EPERM), "os error 1)", "kernel.io_uring_disabled"),
        (Some(libc::ENOSYS), "os error 38)", "CONFIG_IO_URING"),
        (None, "SIGSYS", "allow io_uring_setup"),
    ] {
        let mut list = refused(error);
        list.arg("list").args(chosen).args(["--format", "json"]);
        let output = list.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let why = &list["lanes"][0]["workloads"]["io.tcp_echo"]["why"];
        let names_both = |why: &str| why.contains(cause) && why.contains(advice);
        assert!(why.as_str().is_some_and(names_both), "{list:#}");
    }

    let folder = dir.path().join("run");
    let mut run = refused(None);
    run.args(["run", "--smoke", "--lane", "compio,thread"]);
    run.args(["--workload", "io.sleepers", "--out"])
        .arg(&folder);
    let output = run.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let kept = reports::store::read(&folder.join("run.jsonl")).unwrap();
    assert!(kept.groups.iter().any(|group| group.lane == "thread"));
    let mut failures = kept.failures.iter();
    assert!(
        failures.any(|one| one.lane == "compio" && one.message.contains("SIGSYS")),
        "{:?}",
        kept.failures
    );
}

#[test]
fn run_that_is_still_measured_is_not_resumed_and_its_process_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("run"));
    let first = run(threadbare(), &lane, &LONG, &folder).spawn().unwrap();
    wait_until("a block", || blocks(&folder) >= 1);
    let second = resume(&lane, &folder).output().unwrap();
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains("still being measured"), "{said}");
    assert!(
        said.contains(&format!("process {}", first.id())) || said.contains("another process"),
        "{said}"
    );
    send(&first, Signal::SIGINT);
    let output = first.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(
        reports::store::read(&folder.join("run.jsonl"))
            .unwrap()
            .blocks
            .len()
            < 120
    );
}

#[test]
fn run_succeeds_if_stderr_is_full_closed_or_unread() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let mut unread = threadbare();
    unread.stderr(write);
    for (name, program) in [
        ("full", threadbare_after("exec 2>/dev/full")),
        ("closed", threadbare_after("exec 2>&-")),
        ("unread", unread),
    ] {
        let folder = dir.path().join(name);
        let output = run(program, &lane, &SMOKE, &folder).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{name}: {}",
            text(&output.stdout)
        );
        assert!(folder.join("report.html").is_file(), "{name}");
    }
}

#[test]
fn run_whose_terminal_hangs_up_stops_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("run"));
    let (mut master, slave) = terminal(80);
    let mut command = run(threadbare(), &lane, &LONG, &folder);
    command.env("TERM", "xterm");
    command.stdout(slave.try_clone().unwrap()).stderr(slave);
    let mut child = command.spawn().unwrap();
    drop(command);
    // A full terminal would block the run, so its output is read until it hangs up.
    let mut buffer = [0; 256];
    wait_until("two blocks", || {
        master.read(&mut buffer).unwrap() > 0 && blocks(&folder) >= 2
    });
    drop(master);
    send(&child, Signal::SIGHUP);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(folder.join("report.html").is_file());
    assert!(blocks(&folder) < 120);
}

#[test]
fn closed_stdout_ends_a_command_quietly_and_a_full_device_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let lane = lane(dir.path());
    smoke(&lane, &folder);
    let run = folder.to_str().unwrap();
    for (arguments, failed) in [
        (&["show", run][..], 2),
        (&["gate", run, run][..], 4),
        (&["--help"][..], 2),
    ] {
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let gone = threadbare().args(arguments).stdout(write).output().unwrap();
        assert_eq!(gone.status.code(), Some(141), "{arguments:?}");
        assert_eq!(text(&gone.stderr), "", "{arguments:?}");
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let full = threadbare().args(arguments).stdout(full).output().unwrap();
        assert_eq!(full.status.code(), Some(failed), "{arguments:?}");
    }
    let wrong = threadbare().arg("gate").output().unwrap();
    assert_eq!(
        wrong.status.code(),
        Some(4),
        "no verdict: {}",
        text(&wrong.stderr)
    );
}

#[test]
fn lane_that_crashes_fails_the_run_and_one_that_claims_the_impossible_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    // The crash is after the trial, when the plan is written.
    let crash = r#"[ ! -e "$RUN" ] || kill -SEGV $$"#;
    let claim = "elapsed=18446744073709551615";
    // A lane that is refused at its first answer leaves nothing to measure.
    for (name, before, words, status) in [
        ("crash", crash, "SIGSEGV", 1),
        ("claim", claim, "elapsed_ns must be below 2^53", 2),
    ] {
        let folder = dir.path().join(name);
        let arguments = ["--quick", "--budget", "8", "--workload", BOTH];
        let output = run(threadbare(), &lane, &arguments, &folder)
            .env("RUN", folder.join("run.jsonl"))
            .env("BEFORE", before)
            .output()
            .unwrap();
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(said.contains(words), "{said}");
        assert_eq!(output.status.code(), Some(status), "{said}");
    }
}

#[test]
fn out_is_written_in_place_and_never_over_results() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("run"));
    smoke(&lane, &folder);
    let file = folder.join("run.jsonl");
    let before = fs::read(&file).unwrap();
    let report = |out: &Path| {
        threadbare()
            .arg("report")
            .arg(&folder)
            .arg("--out")
            .arg(out)
            .output()
            .unwrap()
    };
    let refused = report(&file);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("never overwritten"),
        "{}",
        text(&refused.stderr)
    );
    assert_eq!(fs::read(&file).unwrap(), before);
    let page = text(&report(Path::new("-")).stdout);
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"),
        "only the page"
    );
    assert!(!Path::new("-").exists());
    let pipe = dir.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let reader = pipe.clone();
    let reader = std::thread::spawn(move || fs::read_to_string(reader).unwrap());
    assert!(report(&pipe).status.success());
    assert_eq!(reader.join().unwrap(), page);
}

#[test]
fn merge_leaves_other_results_and_says_which_parts_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    let path = |name: &str| dir.path().join(name);
    for shard in ["1", "2"] {
        let part = format!("{shard}/2");
        let arguments = [
            "--smoke",
            "--workload",
            BOTH,
            "--seed",
            "9",
            "--shard",
            &part,
        ];
        let output = run(threadbare(), &lane, &arguments, &path(shard))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    smoke(&lane, &path("other"));
    let merge = |shards: &[&str], out: &str| {
        let mut command = threadbare();
        command
            .arg("merge")
            .args(shards.iter().map(|one| path(one)));
        let output = command.arg("--out").arg(path(out)).output().unwrap();
        (output.status.code().unwrap(), text(&output.stderr))
    };
    for out in ["other", "1"] {
        let before = fs::read(path(out).join("run.jsonl")).unwrap();
        let (status, said) = merge(&["1", "2"], out);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains("choose another folder"), "{said}");
        assert_eq!(fs::read(path(out).join("run.jsonl")).unwrap(), before);
    }
    let (status, said) = merge(&["2"], "whole");
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("shards 1 are missing"), "{said}");
    // The missing shard can be added later.
    assert_eq!(merge(&["whole", "1"], "whole").0, 0);
    let (status, said) = merge(&["2"], "whole");
    assert_eq!(status, 2, "a smaller merge replaced a larger one: {said}");
}

#[test]
fn names_that_are_no_utf_8_and_control_characters_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let odd = OsStr::from_bytes(b"caf\xe9");
    let place = dir.path().join(odd);
    fs::create_dir(&place).unwrap();
    // The lane's folder, the working folder and a variable have the odd name too.
    let lane = lane(&place);
    let output = run(threadbare(), &lane, &SMOKE, Path::new(odd))
        .current_dir(&place)
        .env("ODD", odd)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let folder = place.join(odd);
    let output = threadbare().arg("show").arg(&folder).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let file = folder.join("run.jsonl");
    let kept = fs::read_to_string(&file).unwrap();
    let (begun, _) = kept.trim_end().rsplit_once('\n').unwrap();
    fs::write(&file, format!("{begun}\n")).unwrap();
    let output = resume(&lane, &folder).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let odd = kept.replace(
        r#""question":""#,
        "\"question\":\"\\u001b]0;pwned\\u0007\u{9b}31m",
    );
    fs::write(&file, odd).unwrap();
    for format in ["table", "json"] {
        let output = threadbare()
            .args(["show", "--format", format])
            .arg(&folder)
            .output()
            .unwrap();
        let shown = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(!has_control_characters(&shown), "{shown:?}");
    }
}

/// True for control characters other than a newline.
fn has_control_characters(text: &str) -> bool {
    text.chars().any(|one| one.is_control() && one != '\n')
}

#[test]
fn control_characters_of_a_lane_do_not_reach_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("run"));
    let arguments = ["--smoke", "--workload", BOTH];
    let refuses = r#"case $line in *pingpong*) printf '{"type":"error","id":%s,"kind":"failed","message":"\\u001b]0;pwned\\u0007\\u009b31m"}\n' $id; continue;; esac"#;
    let output = run(threadbare(), &lane, &arguments, &folder)
        .env("BEFORE", refuses)
        .output()
        .unwrap();
    let said = text(&output.stderr) + &text(&output.stdout);
    assert!(said.contains(r"\u001b]0;pwned\u0007"), "{said:?}");
    assert!(!has_control_characters(&said), "{said:?}");
}

#[test]
fn without_a_temporary_folder_only_file_workloads_fail_and_tmpdir_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    let run = |workloads: &str, name: &str| {
        let arguments = ["--smoke", "--workload", workloads];
        run(threadbare(), &lane, &arguments, &dir.path().join(name))
            .env("TMPDIR", "/nonexistent")
            .output()
            .unwrap()
    };
    let output = run("spawn.one,io.file_read", "both");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let kept = reports::store::read(&dir.path().join("both/run.jsonl")).unwrap();
    assert!(
        kept.groups
            .iter()
            .all(|group| group.workload == "spawn.one")
    );
    assert!(kept.samples_count() > 0);
    let [failure] = &kept.failures[..] else {
        panic!("one failure: {:?}", kept.failures);
    };
    assert_eq!(failure.workload, "io.file_read");
    assert_eq!(failure.kind, reports::schema::FailureKind::Limit);
    // A run that measured nothing fails, and has no report.
    let nothing = run("io.file_read", "files");
    assert_eq!(nothing.status.code(), Some(2));
    assert!(!dir.path().join("files").exists());
    for said in [&failure.message, &text(&nothing.stderr)] {
        assert!(
            said.contains("/nonexistent") && said.contains("set TMPDIR"),
            "{said}"
        );
    }
}

/// Both ends of a terminal: the master, and the slave, which programs use.
fn terminal(columns: u16) -> (fs::File, OwnedFd) {
    let size = nix::pty::Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = nix::pty::openpty(Some(&size), None).unwrap();
    (fs::File::from(terminal.master), terminal.slave)
}

fn output_on_a_terminal(lane: &Path, folder: &Path, columns: u16) -> String {
    let (mut master, slave) = terminal(columns);
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        // The read fails when the last program on the terminal ends.
        let _ = master.read_to_end(&mut said);
        text(&said)
    });
    let mut command = run(threadbare(), lane, &SMOKE, folder);
    command
        .env("TERM", "xterm")
        .env("REQUEST_S", "0.02")
        .stderr(slave);
    assert!(command.status().unwrap().success());
    drop(command);
    reader.join().unwrap()
}

#[test]
fn bar_is_drawn_on_a_terminal_and_not_over_tens_of_thousands_of_columns() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    let said = |columns: u16| {
        let folder = dir.path().join(columns.to_string());
        output_on_a_terminal(&lane, &folder, columns)
    };
    // 0 columns: the size is unknown.
    for columns in [80, 0] {
        let usual = said(columns);
        assert!(usual.contains(" left "), "a bar: {usual:?}");
        assert!(usual.len() < 20_000, "{} bytes", usual.len());
    }
    let wide = said(65_535);
    assert!(wide.contains("round 1 of 2"), "lines: {wide:?}");
    assert!(wide.len() < 10_000, "{} bytes", wide.len());
}

#[test]
fn run_of_another_machine_or_version_is_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("run"));
    smoke(&lane, &folder);
    let file = folder.join("run.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let (begun, _) = whole.trim_end().rsplit_once('\n').unwrap();
    let begun = format!("{begun}\n");
    let resume = |text_of_file: &str, runtime: &str| {
        fs::write(&file, text_of_file).unwrap();
        let output = resume(&lane, &folder)
            .env("RUNTIME", runtime)
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let header = begun.lines().next().unwrap();
    let machine = header.split_once(r#""architecture":""#).unwrap().1;
    let architecture = format!(r#""architecture":"{}""#, machine.split_once('"').unwrap().0);
    let moved = begun.replace(&architecture, r#""architecture":"elsewhere""#);
    for (held, runtime, words) in [
        (&moved, "none", "another machine"),
        (&begun, "newer", "is sh, newer now"),
    ] {
        let (status, said) = resume(held, runtime);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(&fs::read_to_string(&file).unwrap(), held, "{words}");
    }
    let (status, said) = resume(&begun, "none");
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn run_that_is_out_of_time_fails_and_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("run"));
    // The first block makes at least three requests, which take more than 1.2 s.
    let arguments = ["--workload", "spawn.one", "--processes", "4"];
    let output = run(threadbare(), &lane, &arguments, &folder)
        .args(["--budget", "1"])
        .env("REQUEST_S", "0.5")
        .output()
        .unwrap();
    let said = text(&output.stderr) + &text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("go on with: threadbare run --resume"),
        "{said}"
    );
    let file = folder.join("run.jsonl");
    let part = reports::store::read(&file).unwrap();
    assert!(part.end.as_ref().is_some_and(|end| end.interrupted));

    let output = resume(&lane, &folder)
        .args(["--budget", "600"])
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let whole = reports::store::read(&file).unwrap();
    assert!(whole.is_complete() && whole.warnings.is_empty());
    assert!(whole.blocks.len() > part.blocks.len());
    let said = text(&resume(&lane, &folder).output().unwrap().stderr);
    assert!(said.contains("nothing to go on with"), "{said}");
}

#[test]
fn full_disk_before_the_first_line_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("run"));
    // The header is longer than 512 bytes.
    let program = threadbare_after("ulimit -f 1");
    let output = run(program, &lane, &SMOKE, &folder).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("start it again"), "{said}");
    smoke(&lane, &folder);
}

#[test]
fn program_runs_with_a_low_limit_on_the_stack() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("run"));
    let program = threadbare_after("ulimit -s 64");
    let output = run(program, &lane, &SMOKE, &folder).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn report_that_cannot_be_written_is_an_error_that_says_how_to_write_it_later() {
    let dir = tempfile::tempdir().unwrap();
    let (lane, folder) = (lane(dir.path()), dir.path().join("my run"));
    fs::create_dir_all(folder.join("report.html")).unwrap();
    let output = run(threadbare(), &lane, &SMOKE, &folder).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    let hint = format!("threadbare report '{}'", folder.display());
    assert!(
        said.contains("all that was measured is in") && said.contains(&hint),
        "{said}"
    );
    let kept = reports::store::read(&folder.join("run.jsonl")).unwrap();
    assert!(kept.is_complete());
}

#[test]
fn lane_that_is_stopped_or_killed_from_outside_costs_its_process_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    for (signal, words) in [
        ("STOP", "timed out after 2 s"),
        ("KILL", "killed by SIGKILL"),
    ] {
        let (marks, folder) = (dir.path().join(signal), dir.path().join("run").join(signal));
        fs::create_dir(&marks).unwrap();
        // The signal hits the first process after the plan, at its second answer.
        let before = format!(
            r#"if [ -e "$RUN" ] && [ $id -ge 2 ] && mkdir "$MARKS/once" 2>/dev/null; then kill -{signal} $$; fi"#
        );
        let limits = ["--timeout", "2", "--processes", "3", "--budget", "60"];
        let arguments = [&["--workload", BOTH][..], &limits].concat();
        let output = run(threadbare(), &lane, &arguments, &folder)
            .env("MARKS", &marks)
            .env("RUN", folder.join("run.jsonl"))
            .env("BEFORE", before)
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert!(said.contains(words), "{said}");
        assert_eq!(output.status.code(), Some(1), "{signal}: {said}");
        let kept = reports::store::read(&folder.join("run.jsonl")).unwrap();
        assert!(kept.is_complete(), "{signal}");
        assert_eq!(kept.failures.len(), 1, "{signal}: {:?}", kept.failures);
        assert!(kept.samples_count() > 0, "{signal}");
    }
}

#[test]
fn missing_results_are_named_and_the_command_fails() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let lane = lane(dir.path());
    smoke(&lane, &folder);
    let run = folder.to_str().unwrap();
    let empty = [
        "run",
        "--smoke",
        "--workload",
        "spawn.one",
        "--seed",
        "1",
        "--shard",
        "2/2",
    ];
    let long = ["run", "--smoke", "--timeout", "18446744073709551615"];
    for (arguments, status, words) in [
        (
            &["show", run, "--lane", "nobody"][..],
            2,
            "its lanes are thread",
        ),
        (
            &["show", run, "--workload", "x"][..],
            2,
            "its workloads are spawn.one",
        ),
        (&["gate", run, run][..], 3, "identical samples"),
        (
            &["run", "--resume", "/nonexistent"][..],
            2,
            "Name a folder of a run",
        ),
        (&empty[..], 2, "part 2 of 2 is empty"),
        (&long[..], 2, "whole number of seconds"),
    ] {
        let output = threadbare()
            .args(arguments)
            .env(LANE_PROGRAM, &lane)
            .output()
            .unwrap();
        let said = text(&output.stderr) + &text(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}
