//! `threadbare new` and `threadbare run --with`, as a user types them.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use program::{text, threadbare};
use reports::schema::FailureKind;

/// The default lanes without `go`, which cannot run this code.
const LANES: [&str; 5] = ["threadbare", "thread", "process", "tokio", "rayon"];

/// The same folder in each run of the tests, so cargo builds only changed code.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

/// The program. The cargo that it starts builds into this workspace's target folder, without a
/// registry.
fn offline() -> Command {
    let mut command = threadbare();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    command
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("THREADBARE_LANE_PROGRAM");
    command
}

fn new(folder: &Path, more: &[&str]) -> Output {
    let output = offline().arg("new").arg(folder).args(more).output();
    output.unwrap()
}

fn run(with: &Path, out: &Path) -> Output {
    let mut command = offline();
    command.args(["run", "--smoke", "--with"]).arg(with);
    command.arg("--out").arg(out).output().unwrap()
}

fn all_text(output: &Output) -> String {
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn own_code_runs_on_five_lanes_and_its_errors_are_reported() {
    let (crate_folder, out) = (folder("my-load"), folder("my-load-results"));
    let made = new(&crate_folder, &["--service"]);
    assert!(made.status.success(), "{}", all_text(&made));
    let again = new(&crate_folder, &[]);
    assert_eq!(again.status.code(), Some(2), "{}", all_text(&again));
    assert!(
        all_text(&again).contains("not empty"),
        "{}",
        all_text(&again)
    );

    // A kernel and a handler that panic, and a kernel whose answers differ.
    let lib = crate_folder.join("src/lib.rs");
    let original = fs::read_to_string(&lib).unwrap();
    let more = r#"
const PANICS: Workload = Workload {
    id: "own.panics",
    title: "Panics",
    shape: Shape::Chunks(|_| Arc::new(|chunk| panic!("chunk {} is out of order", chunk.min(0)))),
    ..LOAD
};

const DIFFERS: Workload = Workload {
    id: "own.differs",
    title: "Differs",
    shape: Shape::Chunks(|_| Arc::new(|_| u64::from(std::process::id()))),
    ..LOAD
};

const TRIPS: Workload = Workload {
    id: "own.trips",
    title: "Trips",
    shape: Shape::Handler(workloads::handler::Handler {
        blocking: |bytes, _| trip(bytes),
        stackless: |bytes, _| Box::pin(async { trip(bytes) }),
    }),
    ..service::SERVICE
};

fn trip(_: &mut [u8]) {
    let program = std::env::args().nth(1);
    // Not in the process that computes the right answer.
    assert_ne!(program.as_deref(), Some("--lane"), "no such item");
}
"#;
    let changed = original.replace("&[LOAD, ", "&[LOAD, PANICS, DIFFERS, TRIPS, ") + more;
    fs::write(&lib, changed).unwrap();
    let output = run(&crate_folder, &out);
    assert_eq!(output.status.code(), Some(1), "{}", all_text(&output));
    let result = reports::store::read(&out.join("run.jsonl")).unwrap();
    let failures = |workload: &str, lane: &str| {
        let all = result.failures.iter();
        let own = all.filter(|one| one.workload == workload && one.lane == lane);
        own.cloned().collect::<Vec<_>>()
    };
    let samples = |workload: &str, lane: &str| {
        let groups = result.groups.iter();
        let own = groups.filter(|one| one.workload == workload && one.lane == lane);
        own.map(|one| one.samples.len()).sum::<usize>()
    };
    for lane in LANES {
        assert_eq!(failures("own.my_load", lane), [], "{lane}");
        assert!(samples("own.my_load", lane) >= 4, "{lane}");
        let panics = failures("own.panics", lane);
        assert!(!panics.is_empty(), "{lane}");
        for failure in panics {
            assert_eq!(failure.kind, FailureKind::Failed, "{failure:?}");
            assert!(
                failure.message.contains("chunk 0 is out of order"),
                "{failure:?}"
            );
        }
        let differs = failures("own.differs", lane);
        assert!(!differs.is_empty(), "{lane}");
        for failure in differs {
            assert_eq!(failure.kind, FailureKind::WrongChecksum, "{failure:?}");
        }
        assert_eq!(samples("own.differs", lane), 0, "{lane}");
        if lane == "rayon" {
            assert_eq!(samples("own.my_load_service", lane), 0);
            continue;
        }
        assert_eq!(failures("own.my_load_service", lane), [], "{lane}");
        assert!(samples("own.my_load_service", lane) >= 2, "{lane}");
        let trips = failures("own.trips", lane);
        assert!(!trips.is_empty(), "{lane}");
        // The message of `process` stays in the child's memory.
        let heard = trips
            .iter()
            .all(|failure| failure.message.contains("no such item"));
        assert!(heard || lane == "process", "{trips:?}");
    }
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    for words in ["Your own code", "My load", "My service"] {
        assert!(page.contains(words), "{words}");
    }

    fs::write(&lib, original.replace("number / 2", "number / 0u8")).unwrap();
    let broken = run(&crate_folder, &folder("my-load-broken"));
    assert_eq!(broken.status.code(), Some(2), "{}", all_text(&broken));
    assert!(
        all_text(&broken).contains("error[E0"),
        "{}",
        all_text(&broken)
    );
    assert!(
        all_text(&broken).contains("src/lib.rs"),
        "{}",
        all_text(&broken)
    );
    assert!(
        all_text(&broken).contains("cargo could not build"),
        "{}",
        all_text(&broken)
    );
    assert!(!folder("my-load-broken").exists());
}

#[test]
fn wrong_names_folders_and_missing_tools_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |output: Output, what: &str| {
        assert_eq!(output.status.code(), Some(2), "{}", all_text(&output));
        assert!(all_text(&output).contains(what), "{}", all_text(&output));
    };
    for name in ["My_load", "2load", "workloads"] {
        refused(new(&dir.path().join(name), &[]), "name");
    }
    let elsewhere = dir.path().to_str().unwrap();
    let no_checkout = ["--checkout", elsewhere];
    refused(
        new(&dir.path().join("my-load"), &no_checkout),
        "no checkout of threadbare",
    );
    refused(
        run(dir.path(), &dir.path().join("out")),
        "`threadbare new NAME` makes one",
    );

    let made = new(&dir.path().join("my-load"), &[]);
    assert!(made.status.success(), "{}", all_text(&made));
    let mut command = offline();
    command
        .args(["run", "--with"])
        .arg(dir.path().join("my-load"));
    command.env("CARGO", "/nonexistent/cargo");
    refused(command.output().unwrap(), "https://rustup.rs");
    let mut command = offline();
    command
        .args(["peers", "--with"])
        .arg(dir.path().join("my-load"));
    refused(command.output().unwrap(), "preset");
}
