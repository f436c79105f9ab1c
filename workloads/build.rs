//! Gives the lane program the name of the compiler that built it, and the level of optimisation.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    // "rustc 1.95.0 (59807616e 2026-04-14)": the second word.
    let version = version
        .as_deref()
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap_or("of unknown version");
    println!("cargo::rustc-env=THREADBARE_RUSTC={version}");
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo::rustc-env=THREADBARE_OPT_LEVEL={level}");
    println!("cargo::rerun-if-changed=build.rs");
}
