//! `threadbare new`: makes a crate for a user's own code.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};

use super::arguments::NewArguments;
use super::shell;
use crate::lane_program;
use crate::say::stdout;

/// The files for a crate named `my-load`. `CHECKOUT` stands for the folder of this suite.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../../template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../../template/lib.rs")),
    ("src/main.rs", include_str!("../../template/main.rs")),
    ("src/lane.rs", include_str!("../../template/lane.rs")),
    (".gitignore", "/target\n"),
];
const SERVICE: (&str, &str) = ("src/service.rs", include_str!("../../template/service.rs"));
/// Files that are copied from the checkout, so the same compiler builds the same versions.
const COPIED: [&str; 2] = ["Cargo.lock", "rust-toolchain.toml"];
/// The new crate depends on crates with these names.
const TAKEN: [&str; 5] = [
    "benches",
    "workloads",
    "reports",
    "bench-runtime",
    "threadbare",
];

pub(super) fn new(arguments: &NewArguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    let name = folder.file_name().and_then(|name| name.to_str());
    let name = name.filter(|name| is_name(name)).with_context(|| {
        format!(
            "{} does not end in a crate's name: begin it with a-z, and go on with a-z, 0-9 and -, as in my-load",
            folder.display()
        )
    })?;
    ensure!(
        !TAKEN.contains(&name),
        "{name} is the name of a part of threadbare; choose another"
    );
    let checkout = checkout(arguments.checkout.as_deref())?;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(
            "{} is there and not empty; choose another folder",
            folder.display()
        );
    }
    let writing = |path: &Path| format!("writing {}", path.display());
    fs::create_dir_all(folder.join("src")).with_context(|| writing(folder))?;
    for (file, text) in FILES
        .into_iter()
        .chain(arguments.service.then_some(SERVICE))
    {
        let path = folder.join(file);
        let text = filled(file, text, name, &checkout, arguments.service);
        fs::write(&path, text).with_context(|| writing(&path))?;
    }
    for file in COPIED {
        let path = folder.join(file);
        fs::copy(checkout.join(file), &path).with_context(|| writing(&path))?;
    }
    let mut out = stdout();
    let word = shell::word(folder);
    writeln!(out, "made {}", folder.display())?;
    writeln!(out, "  your code:  {}", folder.join("src/lib.rs").display())?;
    if arguments.service {
        writeln!(
            out,
            "              {}",
            folder.join("src/service.rs").display()
        )?;
    }
    writeln!(out, "  a check:    threadbare run --with {word} --smoke")?;
    writeln!(out, "  figures:    threadbare run --with {word} --quick")?;
    writeln!(
        out,
        "  more:       {}",
        checkout.join("docs/own-code.md").display()
    )?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(is_plain)
        && !name.ends_with('-')
}

fn checkout(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = named.map_or_else(lane_program::workspace, Path::to_owned);
    let found = folder.canonicalize().ok();
    let found = found.filter(|folder| folder.join("workloads/Cargo.toml").is_file());
    found.with_context(|| {
        format!(
            "{} holds no checkout of threadbare; name one by --checkout",
            folder.display()
        )
    })
}

fn filled(file: &str, text: &str, name: &str, checkout: &Path, service: bool) -> String {
    let checkout = checkout.display().to_string();
    let checkout = checkout.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = text
        .replace("my-load", name)
        .replace("my_load", &name.replace('-', "_"))
        .replace("CHECKOUT", &checkout);
    if service && file == "src/lib.rs" {
        text = text
            .replace("use std::sync::Arc;", "mod service;\n\nuse std::sync::Arc;")
            .replace("&[LOAD]", "&[LOAD, service::SERVICE]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crates_name_is_plain() {
        for name in ["my-load", "a", "load2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "2a", "My", "my_load", "a b", "ä"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn own_crate_is_built_as_the_suite_is() {
        let suite = include_str!("../../../Cargo.toml");
        let (_, template) = FILES[0];
        for profile in ["[profile.dev]", "[profile.release]"] {
            let of = |text: &str| {
                let from = text.find(profile).unwrap();
                text[from..].split("\n\n").next().unwrap().to_owned()
            };
            assert_eq!(of(template), of(suite));
        }
        // Both profiles have the same options for dependencies, so these are built once.
        let optimised = |text: &str| {
            let (_, packages) = text.split_once("[profile.dev.package]\n").unwrap();
            let lines = packages.lines().take_while(|line| !line.is_empty());
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let of_suite = optimised(suite);
        for line in optimised(template) {
            assert!(of_suite.contains(&line), "{line}");
        }
    }

    #[test]
    fn crate_with_a_service_has_its_module_and_its_workload() {
        let (file, text) = FILES[1];
        let text = filled(file, text, "some-load", Path::new("/suite"), true);
        assert!(text.contains("\nmod service;\n"));
        assert!(text.contains("&[LOAD, service::SERVICE];"));
        assert!(text.contains("id: \"own.some_load\""));
    }
}
