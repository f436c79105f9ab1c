//! The pages of many machines, from real and derived runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reports::html::site::{LARGEST_INDEX_BYTES, Prices, linked, render};
use reports::schema::Taint;
use reports::site::{Collection, pairs};
use reports::stats::Verdict;
use reports::store::Files;
use reports::verify::Standing;
use reports::{Analysis, Run, store};

use crate::derive;
use crate::schema::runs_of_one_machine;

fn collection(folder: &Path) -> Collection {
    Collection::read(folder).expect("the folder")
}

fn page<'a>(pages: &'a [(String, String)], path: &str) -> &'a str {
    let found = pages.iter().find(|(name, _)| name == path);
    &found.unwrap_or_else(|| panic!("no page {path}")).1
}

#[test]
fn main_figures_alone_equal_those_of_the_whole_analysis() {
    let files = Files::below(&runs_of_one_machine()).unwrap().found;
    let run = store::read(&files[0]).unwrap();
    let whole = Analysis::of(&run);
    let main = Analysis::of_main_figures(&run);
    assert!(main.rows.len() > 200, "{}", main.rows.len());
    for row in main.rows {
        let same = whole.rows.iter().find(|other| {
            (&other.workload, &other.case, &other.quantity, &other.lane)
                == (&row.workload, &row.case, &row.quantity, &row.lane)
        });
        let same = same.unwrap_or_else(|| panic!("{} {}", row.workload, row.lane));
        assert_eq!(same.estimate, row.estimate, "{} {}", row.workload, row.lane);
        assert_eq!(same.standing, row.standing, "{} {}", row.workload, row.lane);
    }
}

#[test]
fn real_runs_are_one_machine_whose_replicates_give_the_interval() {
    let collection = collection(&runs_of_one_machine());
    assert!(collection.apart.is_empty(), "{:?}", collection.apart);
    assert_eq!(collection.machines.len(), 1);
    let setups = &collection.machines[0].setups;
    // Two runs of one build, and one run of each of two later builds.
    let runs: Vec<usize> = setups.iter().map(|setup| setup.runs.len()).collect();
    assert_eq!(runs, [1, 1, 2]);
    assert_eq!(collection.questions.len(), 5);
    for question in &collection.questions {
        let ranked = setups[2].ranked(&question.place.place);
        assert!(ranked.len() > 1, "{:?}", question.question);
        for (lane, figure) in ranked {
            assert_eq!(figure.runs_count, 2, "{lane}");
            if let Some(interval) = figure.interval {
                assert!(interval.contains(figure.value), "{lane} {figure:?}");
            }
        }
    }
    // The first two builds differ in one fact, the build. Only the last run knows the class of the
    // machine's hypervisor, so it makes no pair.
    let changes = pairs(&collection);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].fact, changes[0].pairs.len()), ("suite", 1));
    let ratios = &changes[0].pairs[0].ratios;
    assert!(
        ratios
            .iter()
            .flatten()
            .all(|ratio| (0.2..5.0).contains(ratio)),
        "{ratios:?}"
    );
}

#[test]
fn linked_folders_and_pipes_are_skipped_and_a_missing_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("in")).unwrap();
    std::fs::write(path.join("in/a.jsonl"), "").unwrap();
    std::os::unix::fs::symlink("..", path.join("in/back")).unwrap();
    std::os::unix::fs::symlink("a.jsonl", path.join("in/b.jsonl")).unwrap();
    let pipe = std::process::Command::new("mkfifo")
        .arg(path.join("pipe.jsonl"))
        .status();
    assert!(pipe.unwrap().success());
    let files = Files::below(path).unwrap();
    assert_eq!(
        files.found,
        [path.join("in/a.jsonl"), path.join("in/b.jsonl")]
    );
    assert!(files.unread.is_empty(), "{files:?}");
    // A broken link may be a run that was lost.
    std::os::unix::fs::symlink("d.jsonl", path.join("c.jsonl")).unwrap();
    std::os::unix::fs::symlink("c.jsonl", path.join("d.jsonl")).unwrap();
    let files = Files::below(path).unwrap();
    assert_eq!(files.found.len(), 2);
    for ((unread, said), name) in files.unread.iter().zip(["c.jsonl", "d.jsonl"]) {
        assert_eq!(unread, &path.join(name));
        assert!(
            said.ends_with("; remove the link, or put the file itself here"),
            "{said}"
        );
    }
    assert_eq!(files.unread.len(), 2);
    let error = Files::below(&path.join("none")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn file_that_is_not_accepted_is_named_and_in_no_figure() {
    let folder = tempfile::tempdir().unwrap();
    let files = derive::write(folder.path(), 2);
    std::fs::copy(&files[0], folder.path().join("again.jsonl")).unwrap();
    std::fs::write(folder.path().join("broken.jsonl"), "not a run\n").unwrap();
    let mut dirty = derive::derived(&derive::real(), 5);
    dirty
        .header
        .environment
        .insert("git_dirty".into(), true.into());
    derive::save(&dirty, &folder.path().join("dirty.jsonl"));
    let collection = collection(folder.path());
    assert_eq!(collection.runs_count(), 2);
    let apart: BTreeMap<&str, Standing> = collection
        .apart
        .iter()
        .map(|one| (one.file.as_str(), one.standing))
        .collect();
    assert_eq!(apart["broken.jsonl"], Standing::Refused);
    assert_eq!(apart["dirty.jsonl"], Standing::Quarantined);
    assert_eq!(apart.len(), 3, "{apart:?}");
    let pages = render(&collection, None);
    let index = page(&pages, "index.html");
    assert!(index.contains("broken.jsonl") && index.contains("has the same samples"));
}

#[test]
fn ten_machines_have_their_pages_and_every_table_reads_without_a_script() {
    let folder = tempfile::tempdir().unwrap();
    derive::write(folder.path(), 30);
    let collection = collection(folder.path());
    assert!(collection.apart.is_empty(), "{:?}", collection.apart);
    assert_eq!(
        (collection.machines.len(), collection.runs_count()),
        (10, 30)
    );
    let prices = Prices {
        date: "2026-11-01".into(),
        currency: "USD".into(),
        per_hour: [("m7a.large".to_owned(), 0.116)].into(),
    };
    let pages = render(&collection, Some(&prices));
    assert_eq!(pages.len(), 1 + 5 + 1 + 10);
    let index = page(&pages, "index.html");
    for machine in &collection.machines {
        assert!(index.contains(&format!("m/{}.html#s0", machine.key)));
        assert!(page(&pages, &format!("m/{}.html", machine.key)).contains("Derived from"));
    }
    // The best figure of each question is text of the index, with its interval.
    for (_, setup) in collection.setups() {
        for question in &collection.questions {
            let (lane, best) = setup.ranked(&question.place.place)[0];
            assert!(index.contains(&best.text()), "{lane}");
            assert!(index.contains(&best.interval_text()), "{lane}");
        }
    }
    for (name, noun) in [("serve", "requests"), ("compute", "runs")] {
        let text = page(&pages, &format!("{name}.html"));
        assert!(
            text.contains(&format!("million {noun} for 1 USD")),
            "{name}"
        );
        assert!(text.contains(">no price<"), "{name}");
        assert!(text.contains(r#"data-lane="Best lane, per price" data-value="-"#));
    }
    assert!(page(&pages, "serve.html").contains("per core</th>"));
    assert!(!page(&pages, "switch.html").contains("per core</th>"));
    // One row is the best of each question. The rows are in the order of the first one.
    assert_eq!(index.matches(">best<").count(), 5);
    assert!(index.contains("× the best<"));
    let first = index.split("<tbody>").nth(1).unwrap();
    assert!(first.find(">best<").unwrap() < first.find("</tr>").unwrap());
    assert!(index.contains("· bare metal ·") && index.contains("virtual=bare metal"));
    assert!(index.contains("CPU=AMD EPYC 9R14 #0"));
    assert!(index.contains("runs from 2026-11-21 to 2026-11-28"));
    let across = page(&pages, "across.html");
    for fact in ["mitigations", "governor"] {
        assert!(
            across.contains(&format!("<caption>{fact}</caption>")),
            "{fact}"
        );
    }
    // Rows of different machines have different words, and each side leads to its own setup.
    let table = across
        .split("data-name=\"pairs-mitigations\"")
        .nth(1)
        .unwrap();
    let table = table.split("</table>").next().unwrap();
    let heads = table.split("<th scope=\"row\">").skip(1);
    let heads: BTreeSet<&str> = heads
        .map(|row| row.split("</th>").next().unwrap())
        .collect();
    assert_eq!(heads.len(), 10);
    assert!(table.contains("#s1\">") && table.contains("#s2\">"));
    assert_eq!(across.matches("10 pairs: median ").count() % 5, 0);
    assert!(across.contains("10 pairs: median "));
    // Every link within the site leads to a page or to the file of a run.
    let files: Vec<String> = linked(&collection)
        .map(|(place, source)| {
            assert!(source.is_file(), "{}", source.display());
            place.display().to_string()
        })
        .collect();
    assert_eq!(files.len(), 30);
    for file in &files {
        let is_linked = |(_, text): &(String, String)| text.contains(file);
        assert!(pages.iter().any(is_linked), "{file}");
    }
    for (path, text) in &pages {
        let up = if path.starts_with("m/") { "m/" } else { "" };
        for link in text.split("href=\"").skip(1) {
            let link = link.split(['"', '#']).next().unwrap();
            if link.is_empty() {
                continue;
            }
            let target = match link.strip_prefix("../") {
                Some(rest) => rest.to_owned(),
                None => format!("{up}{link}"),
            };
            let is_page = pages.iter().any(|(path, _)| *path == target);
            let is_run = files.contains(&target);
            assert!(is_page || is_run, "{path}: {link}");
        }
        for word in ["http://", "https://", " style=\"", " onclick="] {
            assert!(!text.contains(word), "{path}: {word}");
        }
    }
}

/// The pages of derived runs. `change` edits each run.
fn pages_of(numbers: &[usize], change: impl Fn(usize, &mut Run)) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let real = derive::real();
    for &number in numbers {
        let mut run = derive::derived(&real, number);
        change(number, &mut run);
        derive::save(&run, &folder.path().join(format!("{number}.jsonl")));
    }
    let collection = collection(folder.path());
    assert!(collection.apart.is_empty(), "{:?}", collection.apart);
    let prices = Prices {
        date: "2026-11-01".into(),
        currency: "USD".into(),
        per_hour: [("m7a.large".to_owned(), 0.116)].into(),
    };
    render(&collection, Some(&prices))
}

#[test]
fn run_on_a_part_of_the_cpus_has_no_figure_for_the_size_of_its_machine() {
    for (cpus, is_whole) in [(vec![0, 1], true), (vec![1], false)] {
        let pages = pages_of(&[0], |_, run| run.header.design.cpus.clone_from(&cpus));
        let machine = pages.iter().find(|(path, _)| path.starts_with("m/"));
        let serve = page(&pages, "serve.html");
        for text in [serve, &machine.expect("a machine").1] {
            assert_eq!(text.contains("million requests for 1 USD"), is_whole);
        }
        let rows = page(&pages, "across.html").contains(r#"<th scope="row">2</th>"#);
        assert_eq!(rows, is_whole);
    }
}

#[test]
fn runs_that_differ_in_one_setting_are_two_setups_and_each_page_names_it() {
    let mut base = derive::derived(&derive::real(), 0);
    derive::keep_workloads(&mut base, &["spawn.one"]);
    for (fact, setting, value) in [
        ("Rust flags", "rustflags", "-C target-cpu=native"),
        ("clock source", "clock_source", "hpet"),
        ("C library", "libc", "musl"),
        ("CPUs of the cgroup", "cgroup_cpus_ratio", "1.5"),
        ("kernel parameters", "kernel_command_line", "isolcpus=1"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        derive::save(&base, &folder.path().join("base.jsonl"));
        for (number, name) in (1..).zip(["same", "other"]) {
            let mut run = base.clone();
            run.header.run_id = name.into();
            run.header.started = format!("2026-11-2{number}T09:00:00+00:00");
            derive::slow(&mut run, 1.05, |_| 1.0 + 0.01 * f64::from(number));
            if name == "other" {
                let environment = &mut run.header.environment;
                environment.insert(setting.into(), value.into());
            }
            derive::save(&run, &folder.path().join(format!("{name}.jsonl")));
        }
        let collection = collection(folder.path());
        assert!(collection.apart.is_empty(), "{:?}", collection.apart);
        let [machine] = collection.machines.as_slice() else {
            panic!("{fact}: one machine")
        };
        let runs: Vec<usize> = machine.setups.iter().map(|one| one.runs.len()).collect();
        assert_eq!(runs, [1, 2], "{fact}");
        assert_eq!(machine.varying(), [fact]);
        let changes = pairs(&collection);
        assert_eq!((changes.len(), changes[0].fact), (1, fact));
        assert_eq!(changes[0].pairs.len(), 1);
        let pages = render(&collection, None);
        let named = format!("{fact} {value}");
        for path in ["index.html", "start.html"] {
            assert!(page(&pages, path).contains(&named), "{path}: {named}");
        }
        let own = page(&pages, &format!("m/{}.html", machine.key));
        assert!(
            own.contains(&format!("{fact} (here <b>{value}</b>)")),
            "{fact}"
        );
        let caption = format!("<caption>{fact}</caption>");
        assert!(page(&pages, "across.html").contains(&caption), "{fact}");
    }
}

#[test]
fn each_row_of_a_question_names_the_releases_that_were_measured() {
    let pages = pages_of(&[0, 1], |number, run| {
        let go = run.header.lanes.iter_mut().find(|lane| lane.name == "go");
        go.unwrap().runtime = format!("go 1.27.{number}");
    });
    for question in ["start", "wait", "switch", "serve", "compute"] {
        let text = page(&pages, &format!("{question}.html"));
        for number in [0, 1] {
            let releases =
                format!("Go 1.27.{number} · tokio 1.54.1 · Rust 1.95.0 · suite 0.1.0 ddddddddd");
            assert!(text.contains(&releases), "{question}: {releases}");
        }
    }
}

#[test]
fn title_of_one_file_is_not_shown_for_all_machines() {
    let pages = pages_of(&[0, 1, 2], |number, run| {
        if number == 0 {
            for workload in &mut run.header.workloads {
                workload.title = "Words of one file".into();
            }
        }
    });
    for (path, text) in &pages {
        assert!(!text.contains("Words of one file"), "{path}");
    }
}

#[test]
fn machine_of_two_setups_counts_once_by_the_newer() {
    // The same machine with another governor, one day later.
    let newer = |number: usize, run: &mut Run| {
        let day = if number == 0 { "22" } else { "23" };
        run.header.started = format!("2026-11-{day}T08:00:00+00:00");
    };
    let pages = pages_of(&[0, 10], newer);
    let machines = pages.iter().filter(|(path, _)| path.starts_with("m/"));
    assert_eq!(machines.count(), 1);
    let across = page(&pages, "across.html");
    let rows = across.split(r#"<th scope="row">2</th>"#).skip(1);
    let counts: Vec<&str> = rows
        .map(|row| row.split(['<', '>']).nth(2).unwrap_or_default())
        .collect();
    assert_eq!(counts, ["1"; 5]);
    assert!(across.contains("the number of cores, that number may be the cause"));
}

#[test]
fn index_of_three_hundred_machines_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    derive::write(folder.path(), 1);
    // One run is read, and three hundred machines are made from it, because only the size of the
    // page matters.
    let mut many = collection(folder.path());
    let one = many.machines[0].clone();
    many.machines = (0..300)
        .map(|number| {
            let mut machine = one.clone();
            machine.key = format!("{}{number:03}", one.key);
            machine
        })
        .collect();
    let pages = render(&many, None);
    let index = page(&pages, "index.html");
    assert_eq!(index.matches("<tr data-workload").count(), 300);
    assert!(index.len() < LARGEST_INDEX_BYTES, "{}", index.len());
    for (path, text) in &pages {
        assert!(text.len() < LARGEST_INDEX_BYTES, "{path}: {}", text.len());
    }
}

#[test]
fn faster_figures_of_a_machine_have_ratios_below_one() {
    let collection = collection(&runs_of_one_machine());
    let setup = &collection.machines[0].setups[1];
    let all = setup.figures.values().flat_map(BTreeMap::values);
    let faster = all.filter(|figure| figure.verdict == Some(Verdict::Faster));
    let faster: Vec<_> = faster.collect();
    assert!(!faster.is_empty());
    for figure in faster {
        assert!(figure.ratio.is_some_and(|ratio| ratio < 1.0), "{figure:?}");
    }
}

#[test]
fn disturbances_of_the_runs_stand_beside_their_figures() {
    let folder = tempfile::tempdir().unwrap();
    let real = derive::real();
    // Three setups of one machine, of which one has no disturbance.
    for number in [0, 10, 20] {
        let mut run = derive::derived(&real, number);
        run.taints.retain(|taint| taint.kind == "others");
        if number == 0 {
            run.taints.clear();
        }
        if number == 20 {
            let marks = run.blocks.iter().map(|block| Some(block.block_index));
            let marks = marks.take(run.blocks.len() * 2 / 5);
            run.taints = marks
                .map(|block_index| Taint {
                    kind: "steal".into(),
                    message: "a tenth of the CPU time".into(),
                    block_index,
                    value: Some(0.1),
                    ..Taint::default()
                })
                .collect();
        }
        derive::save(&run, &folder.path().join(format!("{number}.jsonl")));
    }
    let collection = collection(folder.path());
    assert!(collection.apart.is_empty(), "{:?}", collection.apart);
    assert_eq!(collection.machines.len(), 1);
    let texts = collection.setups().map(|(_, setup)| {
        let found = setup.disturbances();
        let texts = found.iter().map(|one| one.text(setup.runs.len()));
        format!("Disturbed: {}", texts.collect::<Vec<_>>().join("; "))
    });
    let stolen = texts
        .into_iter()
        .find(|text| text.contains("given to other"));
    let stolen = stolen.expect("a setup with steal");
    assert!(
        stolen.contains("machines in ") && stolen.ends_with("% of the blocks"),
        "{stolen}"
    );
    let pages = render(&collection, None);
    let machine = page(&pages, &format!("m/{}.html", collection.machines[0].key));
    for text in [
        "No disturbances.",
        "CPU time given to other machines",
        "Times in those blocks may be too long",
        "a tenth of the CPU time",
    ] {
        assert!(machine.contains(text), "{text}");
    }
    for name in ["index.html", "serve.html"] {
        let table = page(&pages, name);
        for text in [
            ">No disturbances<",
            stolen.as_str(),
            "disturbances=none",
            "data-pick=\"disturbances\"",
        ] {
            assert!(table.contains(text), "{name}: {text}");
        }
    }
}

#[test]
fn runs_with_and_without_hypervisor_class_are_one_machine() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = derive::real().remove(0);
    derive::save(&run, &folder.path().join("before.jsonl"));
    let host = &mut run.header.host;
    let signature = ("hypervisor_signature".to_owned(), "KVMKVMKVM".into());
    host.facts.extend([signature]);
    run.header.run_id = "after".into();
    run.header.started = "2026-11-28T08:00:00+00:00".into();
    derive::slow(&mut run, 1.05, |_| 1.01);
    derive::save(&run, &folder.path().join("now.jsonl"));
    let collection = collection(folder.path());
    assert_eq!(collection.machines.len(), 1, "{:?}", collection.apart);
    let setups = &collection.machines[0].setups;
    let mut told: Vec<&str> = setups.iter().map(|setup| setup.fact("virtual")).collect();
    told.sort_unstable();
    assert_eq!(told, ["kvm", "virtual"]);
    // A fact that was unknown before is not a difference.
    assert!(pairs(&collection).is_empty());
}
