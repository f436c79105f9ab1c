//! Files that the published documentation names must be in the package.

use std::fs;
use std::path::Path;

mod common;

/// Folders of the repository that are not in the package.
const LEFT_OUT: [&str; 3] = ["checks/", "scripts/", "ARCHITECTURE.md"];

fn docs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(str::trim_start).enumerate();
    lines.filter(|(_, line)| line.starts_with("//!") || line.starts_with("///"))
}

#[test]
fn documentation_names_no_file_that_is_not_in_the_package() {
    let (root, sources) = common::source_files();
    let mut dead = Vec::new();
    let mut note = |file: &Path, line: usize, text: &str| {
        if LEFT_OUT.iter().any(|name| text.contains(name)) {
            dead.push(format!("{}:{}: {text}", file.display(), line + 1));
        }
    };
    for path in &sources {
        let inner = path.strip_prefix(&root).expect("below src");
        // These files are only for sanitizers, whose builds are described in the repository.
        if ["stack/fiber.rs", "sys/address_marks.rs"]
            .iter()
            .any(|own| inner == Path::new(own))
        {
            continue;
        }
        let text = fs::read_to_string(path).expect("a source file");
        for (line, text) in docs(&text) {
            note(inner, line, text);
        }
    }
    for name in ["README.md", "SPEED.md"] {
        let text = fs::read_to_string(root.join("..").join(name)).expect(name);
        for (line, text) in text.lines().enumerate() {
            note(Path::new(name), line, text);
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    // Examples that the documentation names are in the package.
    for path in &sources {
        let text = fs::read_to_string(path).expect("a source file");
        for (line, text) in docs(&text) {
            for name in text
                .split("`examples/")
                .skip(1)
                .filter_map(|rest| rest.split('`').next())
            {
                let example = root.join("../examples").join(name);
                // An example that is a folder is not in the package.
                assert!(example.is_file(), "{}:{}: {name}", path.display(), line + 1);
            }
        }
    }
}
