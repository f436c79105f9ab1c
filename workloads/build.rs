//! Gives the lane program the version of the compiler that built it, the level of optimisation, and
//! the commit of its sources.

use std::path::Path;
use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = output(&rustc, &["--version"]);
    // "rustc 1.95.0 (59807616e 2026-04-14)": the second word.
    let version = version
        .as_deref()
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap_or("of unknown version");
    println!("cargo::rustc-env=THREADBARE_RUSTC={version}");
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo::rustc-env=THREADBARE_OPT_LEVEL={level}");
    // A source tree without git has no commit.
    let commit = output("git", &["rev-parse", "--verify", "HEAD"]).unwrap_or_default();
    println!("cargo::rustc-env=THREADBARE_GIT_COMMIT={commit}");
    println!("cargo::rerun-if-changed=build.rs");
    // Git appends a line to `logs/HEAD` whenever HEAD becomes another commit. If a named file did
    // not exist, cargo would run this script at each build.
    for file in ["logs/HEAD", "HEAD"] {
        if let Some(path) = output("git", &["rev-parse", "--git-path", file])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
