//! `collect` on folders as a fleet returns them. Their runs are derived from a real run.

use reports::collect::{EXPECTED, State, collect};
use serde_json::json;

use crate::derive;

#[test]
fn complete_duplicate_interrupted_missing_and_unexpected_runs_are_distinguished() {
    let folder = tempfile::tempdir().unwrap();
    let expected = "a\tbig\tslurm job 1\nb\tbig\tslurm job 2\nc\tsmall\tslurm job 3\nd\tsmall\tslurm job 4\na\tbig\tagain\n";
    std::fs::write(folder.path().join(EXPECTED), expected).unwrap();
    let real = derive::real();
    let save = |name: &str, run: &reports::Run| {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
        derive::save(run, &folder.path().join(name).join("run.jsonl"));
    };
    let mut whole = derive::derived(&real, 0);
    let placed = json!({"tool": "slurm", "node": "n1", "kind": "big", "alone": true});
    whole.header.environment.insert("placed".into(), placed);
    save("a", &whole);
    save("b", &whole);
    let mut short = derive::derived(&real, 1);
    short.end = None;
    save("c", &short);
    let mut shared = derive::derived(&real, 2);
    shared.taints.push(reports::schema::Taint {
        kind: "shared_node".into(),
        ..Default::default()
    });
    save("from-elsewhere", &shared);
    std::fs::write(folder.path().join("half.jsonl"), "").unwrap();
    let found = collect(folder.path()).unwrap();
    let states_by_name: Vec<(&str, &str, State)> = found
        .iter()
        .map(|one| (one.name.as_str(), one.kind.as_str(), one.state))
        .collect();
    assert_eq!(
        states_by_name,
        [
            ("a", "big", State::Whole),
            ("b", "big", State::Double),
            ("c", "small", State::CutShort),
            ("d", "small", State::Missing),
            ("from-elsewhere", "", State::Quarantined),
            ("half.jsonl", "", State::Refused),
        ]
    );
    assert_eq!(
        (found[0].node.as_str(), found[0].placed_by.as_str()),
        ("n1", "slurm job 1")
    );
    assert_eq!(found[1].reasons, ["it is the run a"]);
    assert!(
        found[2].reasons[0].contains("whole blocks"),
        "{:?}",
        found[2].reasons
    );
    assert!(found[4].reasons[0].contains("other jobs ran on the node"));
    assert!(found[2].reasons[0].ends_with("`threadbare run --resume` on that machine"));
    std::fs::write(folder.path().join(EXPECTED), "c\tsmall\tansible\n").unwrap();
    let placed = collect(folder.path()).unwrap().remove(0);
    assert!(placed.reasons[0].ends_with("if .threadbare-run/results is still on that machine"));
    // A kept run contains no names of nodes and jobs.
    let kept = reports::store::Kept::of(&whole, None).next().unwrap();
    let text = String::from_utf8(kept.text).unwrap();
    assert!(text.contains(r#""tool":"slurm""#) && !text.contains(r#""node":"n1""#));
}

#[test]
fn malformed_list_is_refused_and_names_outside_the_folder_are_missing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join(EXPECTED);
    std::fs::write(folder.path().join("half.jsonl"), "").unwrap();
    for garbage in [&b"\xff\xfea"[..], &[0; 100], &[b'a'; (1 << 20) + 1]] {
        std::fs::write(&list, garbage).unwrap();
        let said = collect(folder.path()).unwrap_err().to_string();
        assert!(
            said.starts_with("expected.tsv is not a list of runs"),
            "{said}"
        );
    }
    std::fs::write(&list, "a\tbig\nb  small  by hand\n").unwrap();
    let said = collect(folder.path()).unwrap_err().to_string();
    assert!(
        said.starts_with("expected.tsv: line 2 has spaces and no tab: \"b  small"),
        "{said}"
    );
    let outside = folder.path().display();
    std::fs::write(&list, format!(".\n/\n..\n{outside}\n\n")).unwrap();
    let found = collect(folder.path()).unwrap();
    let states: Vec<State> = found.iter().map(|one| one.state).collect();
    let missing = State::Missing;
    assert_eq!(states, [missing, missing, missing, missing, State::Refused]);
}

#[test]
fn complete_run_beside_its_interrupted_copy_is_no_duplicate() {
    let folder = tempfile::tempdir().unwrap();
    let whole = derive::derived(&derive::real(), 0);
    let mut short = whole.clone();
    short.end = None;
    for (name, run) in [("a", &short), ("b", &whole), ("c", &short), ("d", &whole)] {
        derive::save(run, &folder.path().join(format!("{name}.jsonl")));
    }
    let found = collect(folder.path()).unwrap();
    let states: Vec<State> = found.iter().map(|one| one.state).collect();
    let double = State::Double;
    assert_eq!(states, [State::CutShort, State::Whole, double, double]);
}
