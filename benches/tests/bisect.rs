//! `threadbare bisect` and `threadbare history`. The lane is a script that reports a fixed time, so
//! no verdict depends on a clock.

mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

use program::{executable, lane, text, threadbare};

fn git(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// A repository with commits that slow the lane down by these percentages; a commit of `None` does
/// not build. Returns the commits, the oldest first.
fn repository(folder: &Path, lane: &Path, slowdowns: &[Option<u32>]) -> Vec<String> {
    let repository = folder.join("repository");
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "--quiet"]);
    fs::write(repository.join(".gitignore"), "target\n").unwrap();
    let commit = |(number, slowdown): (usize, &Option<u32>)| {
        let build = match slowdown {
            Some(percent) => format!(
                "mkdir -p out; printf '#!/bin/sh\\nINJECT={percent} exec {}\\n' >out/lane; chmod +x out/lane",
                lane.display()
            ),
            None => "echo broken >&2; exit 1".to_owned(),
        };
        executable(
            &repository.join("build.sh"),
            &format!("#!/bin/sh\n# {number}\n{build}\n"),
        );
        git(&repository, &["add", "--all"]);
        git(
            &repository,
            &["commit", "--quiet", "-m", &format!("change {number}")],
        );
        git(&repository, &["rev-parse", "HEAD"])
    };
    slowdowns.iter().enumerate().map(commit).collect()
}

fn bisect(folder: &Path, [good, bad]: [&str; 2], more: &[&str]) -> std::process::Output {
    let mut command = threadbare();
    command
        .args([
            "bisect",
            good,
            bad,
            "--cell",
            "spawn.one/thread",
            "--budget",
            "20",
        ])
        .args(["--build", "./build.sh", "--program", "out/lane"])
        .arg("--repository")
        .arg(folder.join("repository"))
        .arg("--out")
        .arg(folder.join("runs"));
    command.args(more).output().unwrap()
}

#[test]
fn commit_that_made_the_step_is_found_beside_one_that_does_not_build() {
    let folder = tempfile::tempdir().unwrap();
    let slowdowns = [
        Some(0),
        Some(0),
        None,
        Some(0),
        Some(0),
        Some(60),
        Some(60),
        Some(60),
    ];
    let commits = repository(folder.path(), &lane(folder.path()), &slowdowns);
    let output = bisect(
        folder.path(),
        [&commits[0], &commits[7]],
        &["--format", "json"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["suspects"][0]["commit"], commits[5].as_str());
    assert_eq!(found["suspects"][0]["subject"], "change 5");
    assert_eq!(found["suspects"].as_array().unwrap().len(), 1);
    // It was measured again, against its parent.
    let sure = &found["confirmation"];
    assert_eq!(sure["outcome"], "confirmed", "{sure}");
    assert_eq!(sure["parent"], commits[4].as_str());
    assert_eq!(sure["measured"]["commit"], commits[5].as_str());
    for text in [&sure["measured"]["by"], &sure["interval"]] {
        let text = text.as_str().unwrap();
        assert!(text.starts_with("+5") || text.starts_with("+6"), "{text}");
    }
    // No worktree and no bisection is left.
    let repository = folder.path().join("repository");
    assert_eq!(git(&repository, &["worktree", "list"]).lines().count(), 1);
    assert_eq!(git(&repository, &["status", "--porcelain"]), "");
    assert!(!repository.join(".git/BISECT_LOG").exists());
}

#[test]
fn commit_that_is_slow_only_in_the_search_is_not_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let own = lane(folder.path());
    // `bisect` confirms a commit by `threadbare run --out …/again-COMMIT-0`.
    let once = folder.path().join("once");
    let script = format!(
        "#!/bin/sh\ngrep -q again- /proc/$PPID/cmdline && INJECT=0\nexec {}\n",
        own.display()
    );
    executable(&once, &script);
    let commits = repository(folder.path(), &once, &[Some(0), Some(60)]);
    let output = bisect(folder.path(), [&commits[0], &commits[1]], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for words in [
        "the first commit that differs",
        "not confirmed: measured again, against its parent",
        "search again with a longer --budget",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn commits_beside_one_that_does_not_build_are_all_named() {
    let folder = tempfile::tempdir().unwrap();
    let commits = repository(
        folder.path(),
        &lane(folder.path()),
        &[Some(0), None, Some(60)],
    );
    let output = bisect(folder.path(), [&commits[0], &commits[2]], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for words in [
        "does not build: broken",
        "one of these",
        "change 1",
        "change 2",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn commits_that_do_not_differ_and_wrong_arguments_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let commits = repository(folder.path(), &lane(folder.path()), &[Some(0), Some(0)]);
    let output = bisect(folder.path(), [&commits[0], &commits[1]], &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("do not differ"));
    let output = bisect(folder.path(), [&commits[1], &commits[0]], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("is no ancestor of"),
        "{}",
        text(&output.stderr)
    );
    let output = bisect(folder.path(), ["nonsense", &commits[0]], &[]);
    assert_eq!(output.status.code(), Some(2));
    let mut command = threadbare();
    let output = command
        .args(["bisect", "a", "b", "--cell", "spawn.one/go"])
        .output()
        .unwrap();
    assert!(
        text(&output.stderr).contains("of another language"),
        "{}",
        text(&output.stderr)
    );
    for (cell, hint) in [
        ("spawn.one/thred", "no lane `thred`; did you mean `thread`?"),
        (
            "spawn.on/thread",
            "no workload `spawn.on`; did you mean `spawn.one`?",
        ),
    ] {
        let words = ["bisect", "a", "b", "--cell", cell];
        let output = threadbare().args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(said.contains(hint), "{said}");
    }
}

#[test]
fn versions_of_a_lane_are_measured_side_by_side_and_unknown_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lane = lane(folder.path());
    let slow = format!("#!/bin/sh\nINJECT=60 exec {}\n", lane.display());
    executable(&folder.path().join("slow"), &slow);
    let table = folder.path().join("engines.toml");
    fs::write(&table, "[thread]\nslow = \"slow\"\n\"1.9\" = \"slow\"\n").unwrap();
    let run = |lanes: &str, out: &str| {
        let mut command = threadbare();
        command
            .args([
                "run",
                "--lane",
                lanes,
                "--workload",
                "spawn.one",
                "--processes",
                "5",
            ])
            .arg("--engines")
            .arg(&table)
            .arg("--out")
            .arg(folder.path().join(out))
            .env(program::LANE_PROGRAM, &lane)
            .env("RUNTIME", "1.95.0");
        command.output().unwrap()
    };
    let output = run("thread,thread@1.9", "none");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let why = "the lane thread@1.9 is not of that version: it runs 1.95.0";
    assert!(said.contains(why), "{said}");
    assert!(!folder.path().join("none/run.jsonl").exists());
    let output = run("thread,thread@slow", "both");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run_file = folder.path().join("both/run.jsonl");
    let found = reports::Analysis::of(&reports::store::read(&run_file).unwrap());
    let row = found
        .rows
        .iter()
        .find(|row| row.lane == "thread@slow")
        .unwrap();
    let ratio = row.standing.as_ref().unwrap().ratio.value;
    assert!((ratio - 1.6).abs() < 0.05, "{ratio}");
    let output = run("go@1.2", "none");
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("add a line \"1.2\" = \"PATH\" to the part [go] of engines.toml"),
        "{said}"
    );
    for (lane, problem) in [
        (
            "thread@no-such",
            "no-such is no file and no commit of this clone",
        ),
        ("smol@no-such", "and no release of smol such as 1.2"),
        ("thread@$", "a version consists of letters"),
        ("fiber@1", "there is no lane `fiber`; see `threadbare list`"),
    ] {
        let output = run(lane, "none");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let named = format!("threadbare: the lane {lane}: ");
        assert!(said.contains(&named) && said.contains(problem), "{said}");
    }
}

#[test]
fn history_of_the_collection_is_printed_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("history.html");
    let hardware = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/hardware");
    let mut command = threadbare();
    command
        .arg("history")
        .arg(hardware)
        .args(["--workload", "spawn", "--out"])
        .arg(&page);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(
        said.contains("suite: ") && said.contains("fewer than 6 runs"),
        "{said}"
    );
    assert_eq!(said.lines().last(), page.to_str());
    assert!(
        fs::read_to_string(&page)
            .unwrap()
            .contains("without a step")
    );
}

#[test]
fn history_of_one_run_is_printed_and_unknown_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hardware = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/hardware");
    let kept = &reports::store::Files::below(&hardware).unwrap().found[0];
    let run = zstd::decode_all(fs::File::open(kept).unwrap()).unwrap();
    fs::write(folder.path().join("run.jsonl"), run).unwrap();
    let history = |words: &[&str]| {
        let mut command = threadbare();
        command.arg("history").arg(folder.path()).args(words);
        command.output().unwrap()
    };
    let output = history(&["--workload", "spawn,switch", "--lane", "go"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(
        said.contains("AMD EPYC") && said.contains("; there is 1"),
        "{said}"
    );
    for (words, hint) in [
        (
            ["--lane", "go,thred"],
            "no lane `thred`; did you mean `thread`?",
        ),
        (
            ["--workload", "spwan"],
            "no workload `spwan`; did you mean `spawn`?",
        ),
        (["--lane", "haskell"], "no lane `haskell`; there are: "),
    ] {
        let output = history(&words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let said = text(&output.stderr);
        assert!(said.contains(hint), "{said}");
    }
}
