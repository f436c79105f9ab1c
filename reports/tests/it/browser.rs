//! The pages in a real browser: themes, filters, permalinks, keys; no network use and no console
//! errors.
//!
//! The tests need `chromium` and `node`. Without them they print that they were skipped; with
//! `REQUIRE_BROWSER=1` they fail. `AXE_CORE=…/axe.min.js` adds the accessibility rules of axe-core.

use std::path::Path;
use std::process::Command;

use reports::html::{self, site::Prices};
use reports::site::Collection;

use crate::derive;
use crate::synthetic::{self, Wish};

fn is_installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn page_works_in_a_browser() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("report.html");
    let mut shown = synthetic::run(Wish::default());
    shown.header.design.preset = Some("peers".to_owned());
    std::fs::write(&page, html::render(&shown)).expect("the page");
    check("tests/browser.mjs", &page);
}

#[test]
fn pages_of_many_machines_work_in_a_browser() {
    let (runs, site) = (tempfile::tempdir(), tempfile::tempdir());
    let (runs, site) = (runs.expect("a folder"), site.expect("a folder"));
    derive::write(runs.path(), 30);
    let collection = Collection::read(runs.path()).expect("the runs");
    let prices = Prices {
        date: "2026-11-01".into(),
        currency: "USD".into(),
        per_hour: [("m7a.large".to_owned(), 0.116)].into(),
    };
    for (path, text) in html::site::render(&collection, Some(&prices)) {
        let path = site.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("its folder");
        std::fs::write(path, text).expect("a page");
    }
    check("tests/site.mjs", &site.path().join("index.html"));
}

fn check(script: &str, page: &Path) {
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    if !is_installed(&browser) || !is_installed("node") {
        assert!(
            std::env::var_os("REQUIRE_BROWSER").is_none(),
            "{browser} and node are required"
        );
        eprintln!("skipped: {browser} or node is not installed");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let mut command = Command::new("node");
    command.arg(script).arg(browser).arg(page);
    command.args(std::env::var_os("AXE_CORE"));
    let output = command.output().expect("node runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{wrong}");
}
