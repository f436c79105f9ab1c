//! The exported table, read by the real DuckDB.
//!
//! Needs Python with `venv`, and pip's package index. Without them the test is skipped, or fails
//! under `REQUIRE_DUCKDB=1`.
#![cfg(feature = "parquet")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A checked-in run with samples of known sum.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/tests/fixtures/v1-small.jsonl")
}

/// Python with DuckDB, in its own environment, which is made once.
fn python() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("duckdb");
    let python = home.join("bin/python");
    let works = || {
        let import = Command::new(&python).args(["-c", "import duckdb"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    if works() {
        return Ok(python);
    }
    let run = |command: &mut Command| -> Result<(), String> {
        let output = command
            .output()
            .map_err(|error| format!("{command:?}: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&home))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "duckdb"]))?;
    works()
        .then_some(python)
        .ok_or_else(|| "pip installed no duckdb that can be imported".to_owned())
}

fn export(runs: &[&Path], to: &Path) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_threadbare"))
        .arg("export")
        .args(runs)
        .arg("--parquet")
        .arg(to)
        .output()
        .expect("the program runs")
}

#[test]
fn duckdb_finds_every_sample_and_its_parameters() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            assert!(std::env::var_os("REQUIRE_DUCKDB").is_none(), "{why}");
            eprintln!("skipped: no DuckDB here: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("samples.parquet");
    let run = fixture();
    let output = export(&[&run, &run], &file);
    assert!(output.status.success(), "{output:?}");
    let read = reports::store::read(&run).unwrap();
    let samples = || read.groups.iter().flat_map(|group| &group.samples);
    let elapsed: u64 = samples().map(|sample| sample.elapsed_ns).sum();
    let with_memory = samples().filter(|sample| sample.memory.is_some()).count();
    let query = format!(
        "import duckdb; print(duckdb.connect().execute(\"select count(*), sum(elapsed_ns), count(available_bytes), count(distinct lane), count(*) filter (json_valid(parameters)), bool_and(time_ns = elapsed_ns / operations_count) from '{}'\").fetchall()[0])",
        file.display()
    );
    let output = Command::new(python).args(["-c", &query]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let lanes: std::collections::BTreeSet<&str> = read
        .groups
        .iter()
        .map(|group| group.lane.as_str())
        .collect();
    let count = 2 * samples().count();
    let expected = format!(
        "({count}, {}, {}, {}, {count}, True)\n",
        2 * elapsed,
        2 * with_memory,
        lanes.len()
    );
    assert_eq!(
        said,
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(count > 0);
}

#[test]
fn folder_of_runs_is_exported_whole_and_an_empty_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("samples.parquet");
    let output = export(&[folder.path()], &file);
    assert!(!output.status.success() && !file.exists());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("holds no folder of one"), "{said}");
    for name in ["a", "b"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::copy(fixture(), folder.path().join(name).join("run.jsonl")).unwrap();
    }
    let output = export(&[folder.path()], &file);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("of 2 runs"));
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}
