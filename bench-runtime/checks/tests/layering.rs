//! Which floor of the runtime may import from which, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

mod common;

/// The floor of each top-level module; see the runtime's ARCHITECTURE.md.
const FLOORS: &[(&str, u32)] = &[
    ("shim", 0),
    ("fatal", 0),
    ("util", 0),
    ("arch", 1),
    ("sys", 1),
    ("unwind", 2),
    ("stack", 2),
    ("pprof", 3),
    ("threads", 3),
    ("goroutine", 4),
    ("netpoll", 5),
    ("timer", 5),
    ("recorder", 5),
    ("debug", 5),
    ("sched", 6),
    ("runtime", 7),
    ("local", 7),
    ("seam", 7),
    ("chan", 7),
    ("sync", 7),
    ("context", 7),
    ("time", 7),
    ("net", 7),
    ("signal", 7),
    ("process", 7),
    ("fs", 7),
    ("io", 7),
    ("scope", 8),
    ("future", 8),
    ("coming_from_go", 8),
    ("synctest", 8),
    ("lib", 9),
];

/// Imports that break the rule, each with its reason.
const ALLOWED: &[(&str, &str)] = &[
    // Locks and sleeps in `util` use futexes, barriers and the clock.
    ("util", "sys"),
];

/// A longer file must give the reason at its top, or be split.
const MAX_LINES: usize = 800;

fn sources() -> Vec<(String, PathBuf, String)> {
    let (root, paths) = common::source_files();
    paths
        .into_iter()
        .map(|path| {
            let inner = path.strip_prefix(&root).expect("below src");
            let top = inner.iter().next().expect("a name").to_string_lossy();
            let module = top.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("a source file");
            (module, path, text)
        })
        .collect()
}

fn floor(module: &str) -> u32 {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .unwrap_or_else(|| {
            panic!("module `{module}` has no floor: add it to FLOORS and ARCHITECTURE.md")
        })
        .1
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text
        .find("\n#[cfg(all(test")
        .or_else(|| text.find("\n#[cfg(test)]\nmod"))
        .unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn modules_import_only_from_floors_below() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        let own = floor(&module);
        for (number, line) in code_lines(&text) {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let name: String = rest
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if !FLOORS.iter().any(|(known, _)| *known == name) || name == module {
                    continue;
                }
                let allowed = ALLOWED.contains(&(module.as_str(), name.as_str()));
                if floor(&name) > own && !allowed {
                    wrong.push(format!(
                        "{}:{}: {module} imports {name}",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short_or_say_why() {
    let mut wrong = Vec::new();
    for (_, path, text) in sources() {
        let lines = text.lines().count();
        let says_why = text
            .lines()
            .take(30)
            .any(|line| line.contains("Why this file is long"));
        if lines > MAX_LINES && !says_why {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn file_with_unsafe_blocks_has_safety_comments() {
    for (_, path, text) in sources() {
        let blocks = text.matches("unsafe {").count();
        let reasons = text.matches("SAFETY:").count();
        assert!(
            blocks == 0 || reasons > 0,
            "{}: {blocks} unsafe blocks and no SAFETY comment",
            path.display()
        );
    }
}

/// A long name in backquotes in the table is the name of a test.
#[test]
fn tests_that_the_conformance_table_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("CONFORMANCE.md")).expect("the table");
    let mut code: String = sources().into_iter().map(|(_, _, text)| text).collect();
    for place in ["tests", "tests/it", "tests/deadlock"] {
        for entry in fs::read_dir(root.join(place)).expect("a folder of tests") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|e| e == "rs") {
                code.push_str(&fs::read_to_string(&path).expect("a test file"));
            }
        }
    }
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let named = table.split('`').skip(1).step_by(2).filter_map(|quoted| {
        let name = quoted.rsplit("::").next().unwrap_or(quoted);
        (name.len() > 20 && name.chars().all(is_name)).then_some(name)
    });
    let (mut count, mut missing) = (0, Vec::new());
    for name in named {
        count += 1;
        if !code.contains(&format!("fn {name}(")) {
            missing.push(name);
        }
    }
    assert!(count > 100, "only {count} tests are named");
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

/// A text in backquotes with a slash, or a file's ending, is a path from the root or from a crate.
#[test]
fn files_that_architecture_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = ["ARCHITECTURE.md", "bench-runtime/ARCHITECTURE.md"];
    let page = pages.map(|page| fs::read_to_string(root.join(page)).expect("a page"));
    let page = page.concat();
    let crates = [
        "bench-runtime",
        "bench-runtime/checks",
        "bench-runtime/checks/crates",
    ];
    let crates = crates
        .into_iter()
        .chain(["workloads", "benches", "reports"]);
    let mut places = vec![root.clone()];
    places.extend(crates.flat_map(|name| [root.join(name), root.join(name).join("src")]));
    let is_path = |text: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        text.chars().all(plain)
            && (text.contains('/') || text.ends_with(".rs") || text.ends_with(".md"))
    };
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_path).collect();
    assert!(named.len() > 25, "only {} files are named", named.len());
    let is_missing = |path: &&&str| places.iter().all(|place| !place.join(path).exists());
    let missing: Vec<_> = named.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "no such files: {missing:?}");
}

/// `cargo bench -- --quick` passes `--quick` to each bench target, and libtest's harness does not
/// know this option.
#[test]
fn no_library_or_program_is_a_bench_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = fs::read_to_string(root.join("Cargo.toml")).expect("the workspace");
    let members = workspace.lines().find(|line| line.starts_with("members"));
    let members: Vec<&str> = members.unwrap().split('"').skip(1).step_by(2).collect();
    assert!(members.contains(&"benches"), "{members:?}");
    for member in members {
        let folder = root.join(member);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        let sections = manifest
            .split("\n[")
            .filter(|section| section.starts_with("lib]") || section.starts_with("[bin]]"));
        let sections: Vec<&str> = sections.collect();
        assert!(
            sections
                .iter()
                .all(|section| section.contains("\nbench = false")),
            "{member}: bench = false is missing"
        );
        let implicit = [("src/lib.rs", "lib]"), ("src/main.rs", "[bin]]")];
        for (file, section) in implicit {
            assert!(
                !folder.join(file).exists()
                    || sections.iter().any(|text| text.starts_with(section)),
                "{member}: {file} is a bench target: bench = false"
            );
        }
    }
}
