//! Kept runs: their figures equal those of the original run, the files of `reports/hardware` are
//! valid, and unfit files are refused or quarantined with the reason.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use reports::schema::{FailureKind, Group, Record, Sample, Shard};
use reports::store::{Kept, Limits, MOST_BYTES, kept_path, read_from};
use reports::verify::{Standing, Verifier};
use reports::{Run, summary};

use crate::derive;
use crate::schema::in_crate;
use crate::synthetic::{Wish, run};

fn kept(run: &Run, home: Option<&str>) -> Vec<(Kept, Run)> {
    let forms = Kept::of(run, home).map(|kept| {
        let again = read_from(
            Cursor::new(&kept.text),
            Path::new("kept"),
            Limits::default(),
        );
        (kept, again.expect("a kept run is read"))
    });
    forms.collect()
}

#[test]
fn figures_of_a_kept_run_are_those_of_the_run() {
    let run = run(Wish::default());
    let latencies = run.groups.iter().flat_map(|group| &group.samples);
    assert!(latencies.filter(|sample| sample.latency.is_some()).count() > 10);
    let said = |run: &Run| serde_json::to_value(summary(run)).expect("rows");
    let forms = kept(&run, None);
    assert_eq!(forms.len(), 4);
    for (kept, again) in forms {
        assert_eq!(said(&again), said(&run), "{} steps", kept.steps_count);
        assert_eq!(again.end, run.end);
        assert_eq!(again.taints, run.taints);
        assert_eq!(again.failures, run.failures);
        assert_eq!(again.warnings, run.warnings);
    }
}

#[test]
fn kept_run_names_neither_host_nor_home() {
    let mut run = run(Wish::default());
    run.header.host.name = "ada-laptop".into();
    let out = "/home/ada/results".to_owned();
    run.header.design.command = vec!["threadbare".into(), "run".into(), "--out".into(), out];
    let place = |kind: &str| serde_json::json!({"tool": "ansible", "node": "ada-pi", "kind": kind});
    // The kind is the name of the node, the name of the host, or neither.
    for (kind, kept_kind) in [("ada-pi", None), ("ada-laptop", None), ("big", Some("big"))] {
        run.header.environment.insert("placed".into(), place(kind));
        let (kept, again) = kept(&run, Some("/home/ada")).remove(0);
        let text = String::from_utf8(kept.text).expect("text");
        assert!(!text.contains("ada"), "{text}");
        assert_eq!(again.header.design.command[3], "~/results");
        let placed = &again.header.environment["placed"];
        assert_eq!(
            (placed["kind"].as_str(), placed["tool"].as_str()),
            (kept_kind, Some("ansible"))
        );
    }
    // Another user's folder with the same prefix stays; this user's is replaced everywhere.
    let command = ["/home/adam/x", "/home/ada", "cd /home/ada; ls /home/ada-2"];
    run.header.design.command = command.map(str::to_owned).into();
    let (_, again) = kept(&run, Some("/home/ada")).remove(0);
    let expected = ["/home/adam/x", "~", "cd ~; ls /home/ada-2"];
    assert_eq!(again.header.design.command, expected);
}

fn files_of_repository() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(in_crate("hardware")).expect("reports/hardware");
    let folders = folders.map(|entry| entry.expect("an entry").path());
    let folders = folders.filter(|path| path.is_dir());
    let mut files: Vec<PathBuf> = folders
        .flat_map(|folder| std::fs::read_dir(folder).expect("a machine's folder"))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// This is CI's check of the files of a pull request.
#[test]
fn no_file_of_the_repository_would_be_refused() {
    let files = files_of_repository();
    assert!(files.len() >= 2, "{files:?}");
    let mut verifier = Verifier::default();
    for file in files {
        let finding = verifier.verify(&file);
        println!(
            "{}: {} {:?}",
            file.display(),
            finding.standing,
            finding.reasons
        );
        assert_ne!(
            finding.standing,
            Standing::Refused,
            "{}: {finding:?}",
            file.display()
        );
        let size = std::fs::metadata(&file).expect("a file").len();
        assert!(size <= MOST_BYTES as u64);
    }
}

fn good_run() -> Run {
    derive::uncounted(&files_of_repository()[0])
}

type Change = fn(&mut Run);

/// Verifies a good run after each change. A change has a name, an edit, the expected outcome, and a
/// text that the reasons contain.
fn verify_each<const N: usize>(changes: [(&str, Change, Standing, &str); N]) {
    let folder = tempfile::tempdir().expect("a folder");
    for (what, change, standing, reason) in changes {
        let mut run = good_run();
        change(&mut run);
        let path = folder.path().join("run.jsonl");
        derive::save(&run, &path);
        let finding = Verifier::default().verify(&path);
        assert_eq!(finding.standing, standing, "{what}: {finding:?}");
        let said = finding.reasons.join("\n");
        assert!(said.contains(reason), "{what}: {said}");
    }
}

#[test]
fn every_kind_of_unfit_file_is_named() {
    use Standing::{Accepted, Quarantined, Refused};
    let changes: [(&str, Change, Standing, &str); 21] = [
        ("as it is", |_| {}, Accepted, ""),
        ("cut off", |run| run.end = None, Refused, "cut short"),
        (
            "interrupted",
            |run| run.end.as_mut().expect("an end").interrupted = true,
            Refused,
            "--resume",
        ),
        (
            "a line taken out",
            |run| drop(run.groups.pop()),
            Refused,
            "lines are missing",
        ),
        ("no samples", |run| run.groups.clear(), Refused, "no sample"),
        (
            "a shard",
            |run| run.header.design.shard = Some(Shard { index: 1, count: 3 }),
            Refused,
            "a shard of a run",
        ),
        (
            "quick",
            |run| run.header.design.depth = reports::schema::Depth::Quick,
            Refused,
            "a quick run",
        ),
        (
            "a wrong answer",
            |run| {
                let failure = reports::schema::Failure {
                    kind: FailureKind::WrongChecksum,
                    ..reports::schema::Failure::default()
                };
                run.failures.push(failure);
            },
            Refused,
            "checksum",
        ),
        (
            "a debug build",
            |run| {
                let kind = "debug_build".into();
                run.taints.push(reports::schema::Taint {
                    kind,
                    ..Default::default()
                });
            },
            Refused,
            "--release",
        ),
        (
            "a debug build by its facts",
            |run| {
                let facts = &mut run.header.environment;
                facts.insert("opt_level".to_owned(), "0".into());
            },
            Refused,
            "--release",
        ),
        (
            "an open block",
            |run| run.blocks.retain(|block| block.block_index != 3),
            Refused,
            "block 3 is incomplete",
        ),
        (
            "a quota",
            |run| {
                let kind = "throttling".into();
                run.taints.push(reports::schema::Taint {
                    kind,
                    ..Default::default()
                });
            },
            Quarantined,
            "a CPU quota",
        ),
        (
            "a quota that did not throttle",
            |run| {
                let facts = &mut run.header.environment;
                facts.insert("cgroup_cpus_ratio".to_owned(), 0.5.into());
            },
            Quarantined,
            "a CPU quota allows 0.5 of its",
        ),
        (
            "changed sources",
            |run| {
                drop(
                    run.header
                        .environment
                        .insert("git_dirty".into(), true.into()),
                )
            },
            Quarantined,
            "differ from their commit",
        ),
        (
            "an unknown build",
            |run| drop(run.header.environment.remove("git_commit")),
            Quarantined,
            "of which commit",
        ),
        (
            "a lane program of another commit",
            |run| run.header.lanes[1].commit = "e".repeat(40),
            Quarantined,
            "was measured by a lane program of the commit eeeeeeeeeeee",
        ),
        (
            "operations in no time",
            |run| run.groups[7].samples[0].operations_count = 1 << 50,
            Quarantined,
            "ns of a CPU for an operation",
        ),
        (
            "equal times",
            |run| {
                let (workload, lane) = (run.groups[0].workload.clone(), run.groups[0].lane.clone());
                let own = run
                    .groups
                    .iter_mut()
                    .filter(|group| group.workload == workload && group.lane == lane);
                for sample in own.flat_map(|group| &mut group.samples) {
                    // Shorter than all real samples of this cell, so no two samples overlap.
                    sample.elapsed_ns = 200_000;
                    sample.latency = None;
                }
            },
            Quarantined,
            "measured times are almost equal, about 200000 ns",
        ),
        (
            "more time than the run took",
            |run| run.end.as_mut().expect("an end").elapsed_ns /= 10,
            Refused,
            "was still measured when the run ended",
        ),
        (
            "a request longer than its sample",
            |run| {
                let mut samples = run.groups.iter_mut().flat_map(|group| &mut group.samples);
                let sample = samples
                    .find(|sample| sample.latency.is_some())
                    .expect("one");
                let latency = sample.latency.as_mut().expect("latencies");
                latency.buckets.push((sample.elapsed_ns * 2, 1));
            },
            Quarantined,
            "a request took longer",
        ),
        (
            "memory that is not there",
            |run| {
                let mut samples = run.groups.iter_mut().flat_map(|group| &mut group.samples);
                let memory = samples.find_map(|sample| sample.memory.as_mut());
                memory.expect("a ledger").anonymous_bytes = 1 << 50;
            },
            Quarantined,
            "more memory than the machine has",
        ),
    ];
    verify_each(changes);
}

#[test]
fn facts_and_figures_that_were_forged_are_named() {
    use Standing::{Quarantined, Refused};
    fn fact(run: &mut Run, name: &str, value: &str) {
        run.header.environment.insert(name.into(), value.into());
    }
    fn samples(run: &mut Run) -> impl Iterator<Item = &mut Sample> {
        run.groups.iter_mut().flat_map(|group| &mut group.samples)
    }
    let changes: [(&str, Change, Standing, &str); 22] = [
        (
            "a start that is none",
            |run| run.header.started = "yesterday".into(),
            Refused,
            "its start is not a date and time: \"yesterday\"",
        ),
        (
            "an end that is none",
            |run| run.end.as_mut().expect("an end").finished = "2026-13-45".into(),
            Refused,
            "its end is not a date and time",
        ),
        (
            "a start to come",
            |run| run.header.started = "2999-01-01T00:00:00Z".into(),
            Quarantined,
            "in the future",
        ),
        (
            "a start too early",
            |run| run.header.started = "1970-01-01T00:00:07Z".into(),
            Quarantined,
            "before the first version of threadbare",
        ),
        (
            "a shorter day",
            |run| {
                let end = run.end.as_mut().expect("an end");
                end.finished.clone_from(&run.header.started);
            },
            Quarantined,
            "but its start and end are 0 s apart",
        ),
        (
            "a commit in words",
            |run| fact(run, "git_commit", "the newest"),
            Refused,
            "is not a Git commit: \"the newest\"",
        ),
        (
            "half a commit",
            |run| fact(run, "git_commit", "40600651"),
            Refused,
            "is not a Git commit",
        ),
        (
            "a lane's commit in words",
            |run| run.header.lanes[1].commit = "the newest".into(),
            Refused,
            "is not a Git commit: \"the newest\"",
        ),
        (
            "another architecture",
            |run| run.header.host.machine.architecture = "aarch64".into(),
            Refused,
            "its machine is aarch64, and it was built for x86_64",
        ),
        (
            "another kernel",
            |run| fact(run, "kernel", "7.1"),
            Refused,
            "and its kernel 7.1",
        ),
        (
            "another CPU",
            |run| run.header.host.machine.cpu_model = "Intel Xeon".into(),
            Refused,
            "the CPU Intel Xeon, and AMD EPYC by its fields",
        ),
        (
            "another CPU by its fields too",
            |run| {
                let host = &mut run.header.host;
                host.machine.cpu_model = "Intel Xeon".into();
                let fields = host.facts.get_mut("cpuinfo").expect("fields");
                fields["model name"] = "Intel Xeon".into();
            },
            Quarantined,
            "is called Intel Xeon, but its maker is AuthenticAMD",
        ),
        (
            "more CPUs",
            |run| run.header.host.machine.threads_count = 128,
            Refused,
            "128 hardware threads, and the CPUs 0-1",
        ),
        (
            "other CPUs",
            |run| run.header.design.cpus = vec![0, 5],
            Refused,
            "ran on the CPU 5, and its CPUs are 0-1",
        ),
        (
            "another version of a lane",
            |run| {
                let go = run.header.lanes.iter().find(|lane| lane.name == "go");
                let mut lane = go.expect("a lane").clone();
                lane.name = "go@1.2".into();
                run.header.lanes.push(lane);
            },
            Quarantined,
            "the lane go@1.2 is not of that version: it runs go 1.",
        ),
        (
            "no raw facts",
            |run| drop(run.header.host.facts.remove("cpuinfo")),
            Quarantined,
            "has no raw facts",
        ),
        (
            "groups in one place",
            |run| run.groups[9].order_index = run.groups[8].order_index,
            Refused,
            "have the same place",
        ),
        (
            "two groups at one time",
            |run| {
                let took = |group: &Group| group.samples[0].elapsed_ns;
                let but_last = &run.groups[..run.groups.len() - 1];
                let longest = but_last.iter().max_by_key(|group| took(group));
                let (order, at_ns) = longest
                    .map(|one| (one.order_index, one.at_ns))
                    .expect("one");
                let mut later: Vec<_> = run.groups.iter_mut().collect();
                later.retain(|group| group.order_index > order);
                later[0].at_ns = at_ns;
            },
            Refused,
            "was still measured when",
        ),
        (
            "a block that ended before its groups",
            |run| run.blocks[3].at_ns = 1,
            Refused,
            "was still measured when its block ended",
        ),
        (
            "a group without a line",
            |run| run.end.as_mut().expect("an end").failures_count += 1,
            Refused,
            "records of type failure, and there are",
        ),
        (
            "round times",
            |run| samples(run).for_each(|sample| sample.elapsed_ns -= sample.elapsed_ns % 1_000),
            Quarantined,
            "are whole microseconds",
        ),
        (
            "times of a formula",
            |run| {
                // The pauses are made longer, to keep the order of time.
                derive::slow(run, 1e3, |_| 1.0);
                let end = run.end.as_mut().expect("an end");
                end.finished = "2026-12-29T00:00:00Z".into();
                // Each time of a cell is two millionths longer than the previous time.
                let mut first = std::collections::BTreeMap::new();
                for group in &mut run.groups {
                    let parameters = group.parameters.clone();
                    let cell = (group.workload.clone(), group.lane.clone(), parameters);
                    for sample in &mut group.samples {
                        let next = first.entry(cell.clone()).or_insert(sample.elapsed_ns);
                        *next += *next / 500_000;
                        sample.elapsed_ns = *next;
                        sample.latency = None;
                    }
                }
            },
            Quarantined,
            "vary too little",
        ),
    ];
    verify_each(changes);
}

#[test]
fn deleted_lines_are_refused_where_the_closing_line_counts_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.jsonl");
    let verify = |run: &Run| {
        derive::save(run, &path);
        Verifier::default().verify(&path)
    };
    let mut counted = good_run();
    let records = counted.records_count();
    counted.end.as_mut().expect("an end").records_count = records;
    let whole = verify(&counted);
    assert_eq!(whole.standing, Standing::Accepted, "{whole:?}");
    assert!(whole.unchecked.is_empty(), "{whole:?}");
    let deletions: [(&str, Change); 5] = [
        ("taint", |run| run.taints.clear()),
        ("environment", |run| drop(run.environment.pop())),
        ("block", |run| run.blocks.clear()),
        ("counters", |run| drop(run.counters.pop())),
        ("failure", |run| drop(run.failures.pop())),
    ];
    for (kind, delete) in deletions {
        let mut run = counted.clone();
        delete(&mut run);
        let finding = verify(&run);
        assert_eq!(finding.standing, Standing::Refused, "{kind}: {finding:?}");
        let why = format!("records of type {kind}, and there are");
        assert!(
            finding.reasons.iter().any(|reason| reason.contains(&why)),
            "{finding:?}"
        );
    }
    // An older file has no counts. It is accepted, and the missing check is named.
    let mut old = good_run();
    old.taints.clear();
    let finding = verify(&old);
    assert_eq!(finding.standing, Standing::Accepted, "{finding:?}");
    assert!(
        finding.unchecked[0].contains("were deleted cannot be told"),
        "{finding:?}"
    );
    // A kept run has its counts too.
    let (_, again) = kept(&counted, None).remove(0);
    assert_eq!(again.end, counted.end);
    assert_eq!(again.records_count(), counted.records_count());
}

#[test]
fn run_is_accepted_once_and_only_at_its_own_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = &files_of_repository()[0];
    let run = good_run();
    let mut verifier = Verifier::default();
    let own = folder.path().join(kept_path(&run.header));
    std::fs::create_dir_all(own.parent().expect("a parent")).expect("a folder");
    std::fs::copy(source, &own).expect("a copy");
    assert_eq!(verifier.verify(&own).standing, Standing::Accepted);
    let elsewhere = folder.path().join("other.jsonl.zst");
    std::fs::copy(source, &elsewhere).expect("a copy");
    let finding = verifier.verify(&elsewhere);
    assert_eq!(finding.standing, Standing::Refused);
    let said = finding.reasons.join("\n");
    assert!(said.contains("its path must be m3-"), "{said}");
    assert!(said.contains("has the same samples"), "{said}");
    // In the reverse order, the original is still accepted.
    let mut verifier = Verifier::default();
    assert_eq!(verifier.verify(&elsewhere).standing, Standing::Refused);
    assert_eq!(verifier.verify(&own).standing, Standing::Accepted);
    let half = folder.path().join("half.jsonl.zst");
    let bytes = std::fs::read(source).expect("a kept run");
    std::fs::write(&half, &bytes[..bytes.len() / 2]).expect("a file");
    let said = verifier.verify(&half).reasons.join("\n");
    assert!(said.contains("is cut off: copy it again"), "{said}");
    let large = folder.path().join("large.jsonl.zst");
    std::fs::write(&large, vec![0; MOST_BYTES + 1]).expect("a file");
    let said = verifier.verify(&large).reasons.join("\n");
    assert!(said.contains("at most 300000"), "{said}");
}

#[test]
fn a_copy_with_shorter_times_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, copy, part] = ["first", "copy", "part"].map(|name| folder.path().join(name));
    let mut run = good_run();
    derive::save(&run, &first);
    let slow = |run: &mut Run, lane: &str| {
        for group in run
            .groups
            .iter_mut()
            .filter(|group| group.lane.starts_with(lane))
        {
            for sample in &mut group.samples {
                sample.elapsed_ns = sample.elapsed_ns * 4 / 5;
            }
        }
    };
    // First only one lane is made faster, then all.
    slow(&mut run, "threadbare");
    derive::save(&run, &part);
    let mut run = good_run();
    slow(&mut run, "");
    derive::save(&run, &copy);
    let mut verifier = Verifier::default();
    assert_eq!(verifier.verify(&first).standing, Standing::Accepted);
    for (file, ratio) in [(part, "first, 1.00×"), (copy, "first, 0.8")] {
        let finding = verifier.verify(&file);
        assert_eq!(finding.standing, Standing::Refused, "{finding:?}");
        assert!(finding.reasons[0].contains(ratio), "{finding:?}");
    }
}

#[test]
fn a_second_header_in_columns_is_refused_as_in_lines() {
    let (kept, _) = kept(&run(Wish::default()), None).remove(0);
    let text = String::from_utf8(kept.text).expect("text");
    let forged = text.replacen("\"of\":\"block\"", "\"of\":\"header\"", 1);
    assert_ne!(forged, text);
    let error = read_from(Cursor::new(forged), Path::new("kept"), Limits::default());
    assert!(error.is_err());
    let record = Record::from_value(serde_json::json!({"type": "columns"}));
    assert!(matches!(record, Ok(Record::Unknown(_))), "{record:?}");
}
