//! Passes facts of the build to the program, as variables of the compiler: its version, its flags,
//! and the state of the source tree.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    tell("RUSTC", output(&rustc, &["--version"]));
    tell("TARGET", env::var("TARGET").ok());
    tell("PROFILE", env::var("PROFILE").ok());
    tell("OPT_LEVEL", env::var("OPT_LEVEL").ok());
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    tell("RUSTFLAGS", Some(flags.replace('\u{1f}', " ")));
    // A source tree without git has no commit. Files that git does not track do not count as
    // changes.
    let commit = output("git", &["rev-parse", "--verify", "HEAD"]);
    let dirty = commit
        .as_ref()
        .and_then(|_| output("git", &["status", "--porcelain", "-uno"]))
        .map(|changes| (!changes.is_empty()).to_string());
    tell("GIT_COMMIT", commit);
    tell("GIT_DIRTY", dirty);

    for file in ["HEAD", "index"] {
        if let Some(path) = output("git", &["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for folder in [
        "bench-runtime/src",
        "workloads",
        "benches",
        "reports/src",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed=../{folder}");
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn tell(name: &str, value: Option<String>) {
    println!(
        "cargo::rustc-env=THREADBARE_BUILD_{name}={}",
        value.unwrap_or_default()
    );
}
