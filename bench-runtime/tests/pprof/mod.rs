//! Opens a profile with `go tool pprof`.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;

/// The output of `go tool pprof -top` for a profile. If there is no Go, returns `None`, or panics
/// if `REQUIRE_FOREIGN` names go.
pub(crate) fn top(write: impl FnOnce(File) -> io::Result<()>) -> Option<String> {
    run_pprof(&["-top", "-cum"], write)
}

/// The same with `-tags`: the labels, with their counts.
#[allow(dead_code, reason = "not every program of tests asks for them")]
pub(crate) fn tags(write: impl FnOnce(File) -> io::Result<()>) -> Option<String> {
    run_pprof(&["-tags"], write)
}

fn run_pprof(what: &[&str], write: impl FnOnce(File) -> io::Result<()>) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.pb");
    write(File::create(&file).unwrap()).unwrap();
    let go = std::env::var_os("THREADBARE_GO").unwrap_or_else(|| {
        let installed = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/toolchains/go/bin/go"
        );
        match Path::new(installed).exists() {
            true => installed.into(),
            false => "go".into(),
        }
    });
    let seen = Command::new(go)
        .args(["tool", "pprof"])
        .args(what)
        .arg(&file)
        .output();
    let required = std::env::var("REQUIRE_FOREIGN").is_ok_and(|all| all.contains("go"));
    let Ok(seen) = seen else {
        assert!(!required, "REQUIRE_FOREIGN names go, and there is none");
        eprintln!("skipped: no Go here (scripts/install-go.sh)");
        return None;
    };
    let said = String::from_utf8_lossy(&seen.stdout).into_owned();
    let errors = String::from_utf8_lossy(&seen.stderr);
    assert!(seen.status.success(), "{errors}");
    Some(said)
}
