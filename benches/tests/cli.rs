//! The `threadbare` program as a user starts it.

mod program;

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::{
    BOTH, LANE_PROGRAM, executable, lane, pasted, resume, run, text, threadbare, threadbare_after,
    threadbare_on_a_disk,
};

/// Runs the program, which builds the real lanes if they are missing.
fn said(arguments: &[&str]) -> Output {
    threadbare().args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    text(&output.stdout)
}

fn stderr(output: &Output) -> String {
    text(&output.stderr)
}

/// A short run that the gate accepts: it ends once a change of 4% could be detected.
const FOR_GATE: [&str; 4] = ["--precision", "4", "--budget", "60"];
const BRIEF: [&str; 2] = ["--budget", "8"];

/// Whether the run has measured something; on a slow host not all may fit in its time.
fn has_measured(output: &Output) -> bool {
    matches!(output.status.code(), Some(0 | 1))
}

fn measure(lane: &Path, folder: &Path, inject: u32, more: &[&str]) -> Output {
    let arguments = [&["--workload", BOTH][..], more].concat();
    run(threadbare(), lane, &arguments, folder)
        .env("INJECT", inject.to_string())
        .output()
        .unwrap()
}

#[test]
fn help_of_every_command_has_examples_or_exit_statuses() {
    for command in ["run", "doctor", "gate", "serve", "load", "merge"] {
        let output = said(&[command, "--help"]);
        let text = stdout(&output);
        assert!(
            text.contains("Example") || text.contains("Exit status:"),
            "{command}: {text}"
        );
    }
    let all = stdout(&said(&["--help"]));
    for example in ["run --quick", "run --preset service", "serve ", "load "] {
        assert!(all.contains(&format!("threadbare {example}")), "{example}");
    }
    let run = stdout(&said(&["run", "--help"]));
    let service = run.split_once("--service <").expect("the option").1;
    let service = service.split_once("--quick").expect("the next").0;
    for lane in workloads::service::database::LANES {
        assert!(service.contains(lane), "{lane} in {service}");
    }
    let load = stdout(&said(&["load", "--help"]));
    assert!(
        load.contains("limit_ns") && load.contains("writes no file"),
        "{load}"
    );
}

#[test]
fn limit_below_the_delay_of_the_backend_is_refused() {
    let set = ["--set", "delay=30ms", "--set", "limit=30ms"];
    let output = said(&[&["run", "--preset", "service"][..], &set].concat());
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("30.0\u{a0}ms") && told.contains("--set limit=100ms"),
        "{told}"
    );
}

#[test]
fn list_shows_which_workloads_run_and_why_others_do_not() {
    let output = said(&["list", "--workload", "spawn", "--format", "json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lanes = list["lanes"].as_array().unwrap();
    let thread = lanes.iter().find(|lane| lane["name"] == "thread").unwrap();
    assert_eq!(thread["workloads"]["spawn.one"]["runs"], true);
    for lane in lanes {
        for (workload, cell) in lane["workloads"].as_object().unwrap() {
            let explained = cell["why"].as_str().is_some_and(|why| !why.is_empty());
            assert!(
                cell["runs"] == true || explained,
                "{} on {workload}: {cell}",
                lane["name"]
            );
        }
    }
}

#[test]
fn a_smoke_run_of_real_lanes_leaves_a_run_and_ends_with_the_reports_path() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("results");
    let output = said(&[
        "run",
        "--smoke",
        "--lane",
        "thread,process",
        "--workload",
        "spawn.one,io.sleepers",
        "--seed",
        "7",
        "--out",
        folder.to_str().unwrap(),
    ]);
    assert!(
        output.status.success(),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let report = folder.join("report.html");
    assert_eq!(
        stdout(&output).lines().last().unwrap(),
        report.to_str().unwrap()
    );
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.contains("spawn.one") && page.contains("</html>"));
    let shown = said(&["show", folder.to_str().unwrap()]);
    for output in [&output, &shown] {
        let text = stdout(output);
        let open = text.matches("too noisy to say").count();
        let line = format!("{} of 2 comparisons with thread are decided", 2 - open);
        assert!(text.lines().any(|one| one == line), "{text}");
    }

    let output = said(&["show", folder.to_str().unwrap(), "--format", "json"]);
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = figures["rows"].as_array().unwrap();
    for lane in ["thread", "process"] {
        for workload in ["spawn.one", "io.sleepers"] {
            let row = rows
                .iter()
                .find(|row| row["lane"] == lane && row["workload"] == workload);
            let value = row.and_then(|row| row["estimate"]["value"].as_f64());
            assert!(
                value.is_some_and(|value| value > 0.0),
                "{workload} on {lane}: {row:?}"
            );
        }
    }

    let again = said(&["run", "--smoke", "--out", folder.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("holds a run already"),
        "{}",
        stderr(&again)
    );
    let resumed = said(&["run", "--resume", folder.to_str().unwrap()]);
    assert!(
        stderr(&resumed).contains("nothing to go on with"),
        "{}",
        stderr(&resumed)
    );
}

#[test]
fn unknown_name_gets_a_hint_and_status_2() {
    let output = said(&["run", "--lane", "gorutine"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("there is no lane `gorutine`"),
        "{}",
        stderr(&output)
    );
    let output = said(&["show", "/nonexistent/run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("/nonexistent/run"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_the_run_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    // A shell will read this path in the command that continues the run.
    let folder = dir.path().join("it's; touch pwned; #$HOME");
    let arguments = ["--workload", BOTH, "--processes", "40"];
    let child = run(threadbare(), &lane, &arguments, &folder)
        .spawn()
        .unwrap();
    let file = folder.join("run.jsonl");
    let deadline = Instant::now() + Duration::from_secs(60);
    let blocks = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines()
            .filter(|line| line.contains(r#""type":"block""#))
            .count()
    };
    while blocks() < 3 {
        assert!(Instant::now() < deadline, "no block came");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let text = stdout(&output);
    let hint = text.split_once("go on with: threadbare ").expect(&text).1;
    let hint = hint.lines().next().unwrap();
    assert!(folder.join("report.html").is_file());
    let before = blocks();
    assert!((3..80).contains(&before), "{before}");

    let output = pasted(hint)
        .env(LANE_PROGRAM, &lane)
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(blocks(), 80);
    assert!(!dir.path().join("pwned").exists());
}

#[test]
fn the_gate_finds_an_injected_slowdown_and_passes_equal_builds() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    let folder = |name: &str| dir.path().join(name);
    for (name, inject) in [("base", 0), ("same", 0), ("slow", 10)] {
        let output = measure(&lane, &folder(name), inject, &FOR_GATE);
        assert!(
            output.status.success(),
            "{}{}",
            stdout(&output),
            stderr(&output)
        );
        forget_taints(&folder(name));
    }
    let gate = |new: &str| {
        let output = threadbare()
            .arg("gate")
            .arg(folder("base"))
            .arg(folder(new))
            .output()
            .unwrap();
        (output.status.code().unwrap(), stdout(&output))
    };
    let (status, text) = gate("same");
    assert_eq!(status, 0, "{text}");
    let (status, text) = gate("slow");
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("slower"), "{text}");
}

#[test]
fn two_builds_in_one_run_are_compared_and_one_alone_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    let slow = dir.path().join("slow.sh");
    let script = format!("#!/bin/sh\nINJECT=10 exec {} \"$@\"\n", lane.display());
    executable(&slow, &script);
    // The slow lane is first the base, then this build.
    for (name, own, base, status, words) in [
        ("faster", &lane, &slow, 0, "faster"),
        ("slower", &slow, &lane, 1, "slower"),
    ] {
        let folder = dir.path().join(name);
        let mut more = vec!["--base", base.to_str().unwrap()];
        more.extend(FOR_GATE);
        let output = measure(own, &folder, 0, &more);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).contains("thread@base"));
        forget_taints(&folder);
        let output = threadbare().arg("gate").arg(&folder).output().unwrap();
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(status), "{text}");
        assert!(text.contains(words), "{text}");
    }
    let alone = dir.path().join("alone");
    assert!(has_measured(&measure(&lane, &alone, 0, &BRIEF)));
    let output = threadbare().arg("gate").arg(&alone).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("--base"), "{}", stderr(&output));
    let missing = measure(&lane, &dir.path().join("x"), 0, &["--base", "/nonexistent"]);
    assert!(stderr(&missing).contains("/nonexistent"), "{missing:?}");
}

/// Removes the taints of a run, because other tests may disturb it, and the gate would refuse it.
fn forget_taints(folder: &Path) {
    let file = folder.join("run.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let is_kept = |line: &&str| !line.starts_with(r#"{"type":"taint""#);
    let kept: Vec<&str> = text.lines().filter(is_kept).collect();
    std::fs::write(&file, kept.join("\n") + "\n").unwrap();
}

/// The run must end with status 2, print `words`, and be resumable from the file in `kept`.
fn full_disk_keeps_what_was_measured(
    program: Command,
    lane: &Path,
    folder: &Path,
    kept: &Path,
    words: &[&str],
) {
    let arguments = ["--budget", "8", "--workload", BOTH, "--processes", "100"];
    let output = run(program, lane, &arguments, folder).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    let before = reports::store::read(&kept.join("run.jsonl")).unwrap();
    assert!(before.samples_count() > 10, "{}", before.samples_count());

    let resumed = resume(lane, kept).output().unwrap();
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    let whole = reports::store::read(&kept.join("run.jsonl")).unwrap();
    assert!(whole.is_complete() && whole.samples_count() > before.samples_count());
}

#[test]
fn a_full_disk_keeps_what_was_measured_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    let folder = dir.path().join("results");
    // A limit on the size of files stands for a full disk. sh counts it in blocks of 512 bytes; if
    // SIGXFSZ is ignored, the kernel returns EFBIG.
    let program = threadbare_after("trap '' XFSZ; ulimit -f 90");
    let words = ["run.jsonl", "too large"];
    full_disk_keeps_what_was_measured(program, &lane, &folder, &folder, &words);
}

/// Needs user namespaces.
#[test]
fn full_tmpfs_keeps_what_was_measured_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    let (disk, kept) = (dir.path().join("disk"), dir.path().join("kept"));
    std::fs::create_dir(&disk).unwrap();
    let program = match threadbare_on_a_disk(48, &disk, &kept) {
        Ok(program) => program,
        Err(why) => {
            // The test harness hides the output of `println` if the test passes.
            let _ = writeln!(io::stderr(), "SKIPPED: full disk: {why}");
            return;
        }
    };
    let folder = disk.join("results");
    full_disk_keeps_what_was_measured(program, &lane, &folder, &kept, &["no space left"]);
}

#[test]
fn set_gives_a_parameter_other_values() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("set");
    let out = folder.to_str().unwrap();
    let smoke = |set: &str| {
        said(&[
            "run",
            "--smoke",
            "--lane",
            "thread",
            "--workload",
            "spawn.batch",
            "--set",
            set,
            "--out",
            out,
        ])
    };
    for (wrong, answer) in [
        ("taskscount=7", "there are"),
        ("tasks_count=0", "must lie in"),
        ("tasks_count", "PARAMETER=VALUE"),
    ] {
        let output = smoke(wrong);
        assert!(!output.status.success());
        assert!(stderr(&output).contains(answer), "{}", stderr(&output));
    }
    let output = smoke("tasks_count=7,9");
    assert!(output.status.success(), "{}", stderr(&output));
    let kept = reports::store::read(&folder.join("run.jsonl")).unwrap();
    let counts: std::collections::BTreeSet<u64> = kept
        .groups
        .iter()
        .filter(|group| group.workload == "spawn.batch")
        .map(|group| group.parameters["tasks_count"])
        .collect();
    assert_eq!(counts, [7, 9].into());
}

#[test]
fn compare_sets_runs_side_by_side_and_writes_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    for name in ["one", "two"] {
        let output = measure(
            &lane,
            &dir.path().join(name),
            0,
            &["--quick", "--budget", "8"],
        );
        assert!(has_measured(&output), "{}", stderr(&output));
    }
    let page = dir.path().join("compare.html");
    let output = threadbare()
        .arg("compare")
        .args([dir.path().join("one"), dir.path().join("two")])
        .arg("--out")
        .arg(&page)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        stdout(&output).lines().last().unwrap(),
        page.to_str().unwrap()
    );
    assert!(std::fs::read_to_string(&page).unwrap().contains("</html>"));
}

#[test]
fn gate_refuses_quick_runs_and_files_that_are_no_runs() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    let folder = dir.path().join("quick");
    let output = measure(&lane, &folder, 0, &["--quick", "--budget", "8"]);
    assert!(has_measured(&output), "{}", stderr(&output));
    let quick = folder.to_str().unwrap();
    let output = said(&["gate", quick, quick]);
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    let output = said(&["gate", quick, "/nonexistent"]);
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
}

#[test]
fn shards_merge_into_the_whole_run_in_any_order_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let lane = lane(dir.path());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for shard in ["1", "2"] {
        let part = format!("{shard}/2");
        let more = ["--quick", "--budget", "8", "--seed", "9", "--shard", &part];
        let output = measure(&lane, &dir.path().join(shard), 0, &more);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let merged = |order: &[String], out: &str| {
        let mut arguments = vec!["merge".to_owned()];
        arguments.extend(order.iter().cloned());
        arguments.extend(["--out".to_owned(), path(out)]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = said(&arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        std::fs::read_to_string(dir.path().join(out).join("run.jsonl")).unwrap()
    };
    let in_order = merged(&[path("1"), path("2")], "forth");
    let reversed = merged(&[path("2"), path("1"), path("2")], "back");
    assert_eq!(in_order, reversed);
    let again = merged(&[path("forth"), path("1")], "again");
    assert_eq!(in_order, again);
    let shards = ["1", "2"]
        .map(|part| std::fs::read_to_string(dir.path().join(part).join("run.jsonl")).unwrap());
    for workload in ["spawn.one", "switch.pingpong"] {
        let groups = |text: &str| {
            text.lines()
                .filter(|line| line.contains(r#""type":"group""#) && line.contains(workload))
                .count()
        };
        let in_shards: usize = shards.iter().map(|text| groups(text)).sum();
        assert_eq!(groups(&in_order), in_shards);
        // At least five processes, and those of their A/A pair.
        assert!(in_shards >= 10, "{in_shards}");
    }
}

#[test]
fn show_report_and_compare_agree_on_noise_disturbances_and_verdicts() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../reports/tests/fixtures/v1-every-section.jsonl"
    );
    let said = |arguments: &[&str]| {
        let output = said(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let text = said(&["show", file]);
    for line in [
        "12 of 26 comparisons with thread are decided",
        "Repeats of one lane differ by 0.80%, typically; 0 of 7 such pairs are called different (should be 0).",
        "CPU time given to other machines, in 1 of 3 blocks; the worst: 2.1% of the CPU time",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }

    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    said(&["report", file, "--out", page.to_str().unwrap()]);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Repeats differ by <b>0.80%</b>"));
    assert!(page.contains("<b>12 of 26</b> comparisons with thread are decided"));

    let json: serde_json::Value =
        serde_json::from_str(&said(&["show", file, "--format", "json"])).unwrap();
    assert_eq!(json["warnings"], serde_json::json!([]));
    assert_eq!(json["decided_count"], 12);
    assert_eq!(json["comparisons_count"], 26);
    let disturbances = json["disturbances"].as_array().unwrap();
    assert_eq!(disturbances.len(), 1);
    assert_eq!(disturbances[0]["blocks_count"], 1);
    assert_eq!(disturbances[0]["title"], "CPU time given to other machines");

    // A space that does not break joins a number and its unit.
    let table = said(&["compare", file, file]).replace('\u{a0}', " ");
    for cell in [
        "9.06 ns, 0.287×: too noisy to say",
        "2.61 kB, 0.0684×: smaller",
        "10.0 µs, 0.463×: faster",
        "CPU time given to other machines",
    ] {
        assert!(table.contains(cell), "{cell} is not in:\n{table}");
    }
}

#[test]
fn piped_doctor_prints_few_progress_lines_and_a_table_of_eighty_columns() {
    let output = threadbare()
        .args(["doctor", "--budget", "2"])
        .env("COLUMNS", "80")
        .output()
        .unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        stderr(&output)
    );
    let lines = stderr(&output).lines().count();
    assert!(lines < 12, "{}", stderr(&output));
    let text = stdout(&output);
    let (table, _) = text.split_once("\n\nThe same lane").expect(&text);
    let (_, table) = table.split_once("\n\n").expect(&text);
    for line in table.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn build_that_hangs_is_named_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    executable(&go, "#!/bin/sh\n[ \"$1\" != build ] || sleep 7\nexit 1\n");
    let output = threadbare()
        .args(["list", "--lane", "go", "--workload", "spawn.one"])
        .env("THREADBARE_GO", &go)
        .output()
        .unwrap();
    let said = format!("still building the lane program of go: {}", go.display());
    assert!(stderr(&output).contains(&said), "{}", stderr(&output));
}

#[test]
fn a_run_is_kept_in_its_machines_folder_and_verified_there() {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports");
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().to_str().unwrap();
    let machines = std::fs::read_dir(reports.join("hardware")).unwrap();
    let machine = machines.map(|entry| entry.unwrap().path()).min().unwrap();
    let runs = std::fs::read_dir(&machine).unwrap();
    let first_run = runs.map(|entry| entry.unwrap().path()).min().unwrap();
    // Keeping a run twice changes nothing.
    let kept = said(&["keep", first_run.to_str().unwrap(), "--out", tree]);
    assert!(kept.status.success(), "{}", stderr(&kept));
    let written = stdout(&kept);
    let file = written.lines().next().unwrap();
    let key = machine.file_name().unwrap().to_str().unwrap();
    assert!(file.starts_with(&format!("{tree}/{key}/")), "{written}");
    let verified = said(&["verify", file]);
    // An older program wrote the file, with fewer counts in its closing line.
    let why = "\n  not checked: its closing line counts groups, samples and failures only";
    let right = format!("accepted: {file}{why}");
    assert!(
        stdout(&verified).starts_with(&right),
        "{}",
        stdout(&verified)
    );
    assert_eq!(stdout(&verified).lines().count(), 2);
    assert_eq!(verified.status.code(), Some(0));

    let again = said(&["keep", first_run.to_str().unwrap(), "--out", tree]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    // A file with other samples stays, and the next run is kept.
    std::fs::write(file, "other").unwrap();
    let runs = std::fs::read_dir(&machine).unwrap();
    let next = runs.map(|entry| entry.unwrap().path()).max().unwrap();
    let [first, second] = [&first_run, &next].map(|path| path.to_str().unwrap());
    let kept = said(&["keep", first, second, "--out", tree]);
    assert_eq!(kept.status.code(), Some(2));
    let why = "is there already, with other samples";
    assert!(stderr(&kept).contains(why), "{}", stderr(&kept));
    assert!(
        stdout(&kept).contains("\n  accepted\n"),
        "{}",
        stdout(&kept)
    );
    assert_eq!(std::fs::read(file).unwrap(), b"other");
    std::fs::remove_file(file).unwrap();
    assert!(said(&["keep", first, "--out", tree]).status.success());

    let small = reports.join("tests/fixtures/v1-small.jsonl");
    let kept = said(&["keep", small.to_str().unwrap(), "--out", tree]);
    assert_eq!(kept.status.code(), Some(2), "{}", stdout(&kept));
    let told = stdout(&kept);
    assert!(told.contains(": not kept\n  refused\n"), "{told}");
    let folders = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(folders.count(), 1, "only the folder of the other runs");
    // The whole run replaces a kept run that was cut short.
    let whole = std::fs::read(file).unwrap();
    let lines = zstd::decode_all(&whole[..]).unwrap();
    let lines = text(&lines);
    let (begun, _) = lines.trim_end().rsplit_once('\n').unwrap();
    let short = zstd::encode_all(format!("{begun}\n").as_bytes(), 3).unwrap();
    std::fs::write(file, short).unwrap();
    assert!(said(&["keep", first, "--out", tree]).status.success());
    assert_eq!(std::fs::read(file).unwrap(), whole);
    let verified = said(&["verify", "--format", "json", file, small.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(2), "{}", stdout(&verified));
    let answer: serde_json::Value = serde_json::from_str(&stdout(&verified)).unwrap();
    assert_eq!(answer[0]["standing"], "accepted");
    assert_eq!(answer[1]["standing"], "refused");
    assert_eq!(said(&["verify"]).status.code(), Some(4));
}
