//! `threadbare site` as a user starts it.

mod program;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use program::{as_a_user, text, threadbare};
use reports::store::Files;

fn hardware() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/hardware")
}

fn site(folder: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = threadbare();
    command.arg("site").arg(folder).arg("--out").arg(out);
    command.args(more).output().unwrap()
}

#[test]
fn site_of_the_collection_is_written_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("site");
    let prices = folder.path().join("prices.toml");
    let list = "date = \"2026-11-01\"\ncurrency = \"USD\"\n[per_hour]\n\"c7g.large\" = 0.07\n";
    fs::write(&prices, list).unwrap();
    let output = site(&hardware(), &out, &["--prices", prices.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let index = out.join("index.html");
    assert_eq!(said.lines().last(), index.to_str());
    let kept = Files::below(&hardware()).unwrap().found;
    // A folder each.
    let folders: BTreeSet<_> = kept.iter().map(|file| file.parent()).collect();
    let machines = match folders.len() {
        1 => "1 machine".to_owned(),
        count => format!("{count} machines"),
    };
    let counts = format!("{} runs of {machines}, ", kept.len());
    assert!(said.starts_with(&counts), "{said}");
    let page = fs::read_to_string(&index).unwrap();
    assert!(page.contains("Machines and questions"));
    for name in ["start", "wait", "switch", "serve", "compute", "across"] {
        assert!(out.join(format!("{name}.html")).is_file(), "{name}");
    }
    let pages = fs::read_dir(out.join("m")).unwrap().count();
    assert_eq!(pages, folders.len());
    // The site has the linked runs. No price is for this machine.
    let runs = Files::below(&out.join("runs")).unwrap().found;
    let bytes = |files: &[PathBuf]| -> Vec<Vec<u8>> {
        files.iter().map(|file| fs::read(file).unwrap()).collect()
    };
    assert_eq!(bytes(&runs), bytes(&kept));
    let said = text(&output.stderr);
    assert!(
        said.contains("no price is of a machine that is here"),
        "{said}"
    );
    if cfg!(feature = "parquet") {
        let table = fs::read(out.join("figures.parquet")).unwrap();
        assert!(table.starts_with(b"PAR1") && table.ends_with(b"PAR1"));
    }
}

#[test]
fn page_of_a_withdrawn_run_is_removed_and_files_of_other_programs_stay() {
    let folder = tempfile::tempdir().unwrap();
    let [runs, out] = ["runs", "site"].map(|name| folder.path().join(name));
    let kept = Files::below(&hardware()).unwrap().found;
    let copies = kept[..2].iter().map(|file| {
        let copy = runs.join(file.strip_prefix(hardware()).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, &copy).unwrap();
        copy
    });
    let copies: Vec<PathBuf> = copies.collect();
    fs::create_dir(&out).unwrap();
    fs::write(out.join("index.html"), "mine").unwrap();
    let refused = site(&runs, &out, &[]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(
        said.contains("no site that this program has written"),
        "{said}"
    );
    assert_eq!(fs::read(out.join("index.html")).unwrap(), b"mine");
    fs::remove_file(out.join("index.html")).unwrap();
    // The folder may be a git branch for a web host, which finds its domain in CNAME.
    fs::create_dir(out.join(".git")).unwrap();
    let copied = |file: &Path| out.join("runs").join(file.strip_prefix(&runs).unwrap());
    assert!(site(&runs, &out, &[]).status.success());
    fs::write(out.join("CNAME"), "example.org").unwrap();
    assert!(copies.iter().all(|file| copied(file).is_file()));
    fs::remove_file(&copies[0]).unwrap();
    assert!(site(&runs, &out, &[]).status.success());
    assert!(!copied(&copies[0]).exists() && copied(&copies[1]).is_file());
    for name in ["CNAME", ".git", "index.html", "serve.html"] {
        assert!(out.join(name).exists(), "{name}");
    }
}

#[test]
fn folder_without_a_usable_run_and_a_wrong_list_of_prices_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("site");
    fs::write(folder.path().join("run.jsonl"), "nothing\n").unwrap();
    let output = site(folder.path(), &out, &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("refused: run.jsonl"), "{said}");
    assert!(said.contains("holds no run that is accepted"), "{said}");
    let prices = folder.path().join("prices.toml");
    fs::write(&prices, "currency = \"USD\"\n").unwrap();
    let output = site(&hardware(), &out, &["--prices", prices.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("is no list of prices"), "{said}");
    assert!(!out.exists());
}

#[test]
fn collected_folder_names_what_is_missing_and_keeps_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = folder.path().join("fleet");
    let files = Files::below(&hardware()).unwrap().found;
    for (number, file) in files.iter().enumerate() {
        let own = fleet.join(format!("n{number}"));
        fs::create_dir_all(&own).unwrap();
        let text = zstd::decode_all(fs::File::open(file).unwrap()).unwrap();
        fs::write(own.join("run.jsonl"), text).unwrap();
    }
    let expected = "n0\tbig\tby hand\nnone\tsmall\tby hand\n";
    fs::write(fleet.join("expected.tsv"), expected).unwrap();
    let kept = folder.path().join("kept");
    let collect = || {
        let mut command = threadbare();
        command.arg("collect").arg(&fleet).arg("--keep").arg(&kept);
        command.output().unwrap()
    };
    let output = collect();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let counts = format!("{} whole, 1 missing", files.len());
    assert!(said.contains(&counts), "{said}");
    let names = |folder: &Path| -> Vec<String> {
        let files = Files::below(folder).unwrap().found.into_iter();
        files
            .map(|file| file.strip_prefix(folder).unwrap().display().to_string())
            .collect()
    };
    assert_eq!(names(&kept), names(&hardware()));
    fs::write(fleet.join("expected.tsv"), "n0\tbig\tby hand\n").unwrap();
    assert_eq!(collect().status.code(), Some(0));
    let output = threadbare()
        .arg("collect")
        .arg(folder.path().join("none"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn site_within_the_folder_of_its_runs_is_refused() {
    let output = site(&hardware(), &hardware().join("site"), &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("is in the folder of the runs"), "{said}");
    assert!(!hardware().join("site").exists());
}

#[test]
fn folder_that_cannot_be_read_is_named_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let mode =
        |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let (runs, out) = (folder.path().join("runs"), folder.path().join("out"));
    let hidden = runs.join("hidden");
    fs::create_dir_all(&hidden).unwrap();
    fs::create_dir(&out).unwrap();
    let kept = &Files::below(&hardware()).unwrap().found[0];
    let text_of_run = zstd::decode_all(fs::File::open(kept).unwrap()).unwrap();
    fs::write(runs.join("one.jsonl"), text_of_run).unwrap();
    let unreadable = runs.join("shut.jsonl");
    fs::write(&unreadable, "").unwrap();
    mode(&unreadable, 0o000);
    for path in [folder.path(), &runs] {
        mode(path, 0o755);
    }
    mode(&out, 0o777);
    mode(&hidden, 0o000);
    let [runs, site] = [runs, out.join("site")].map(|path| path.display().to_string());
    let commands: [(&[&str], i32); 4] = [
        (&["site", &runs, "--out", &site], 1),
        (&["history", &runs], 1),
        (&["collect", &runs], 1),
        (&["verify", &runs], 2),
    ];
    for (words, status) in commands {
        let output = as_a_user(folder.path()).args(words).output().unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
        for part in [
            "hidden",
            "shut.jsonl",
            "it cannot be read: Permission denied",
        ] {
            assert!(said.contains(part), "{words:?}: {said}");
        }
        let is_verify = words[0] == "verify";
        assert!(!is_verify || said.contains("accepted: "), "{said}");
    }
    assert!(out.join("site/index.html").is_file());
    mode(&hidden, 0o755);
}
