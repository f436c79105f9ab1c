use anyhow::bail;
use workloads::catalogue::{self, Workload};

use crate::lanes::{self, DEFAULT_LANES, LaneEntry};

/// The workloads whose ids begin with one of `words`, in the order of the catalogue; all if there
/// are no words.
pub(super) fn workloads(words: &[String]) -> anyhow::Result<Vec<&'static Workload>> {
    let ids: Vec<&str> = catalogue::all().map(|workload| workload.id).collect();
    refuse_unknown("workload", words, &ids, begins)?;
    Ok(catalogue::all()
        .filter(|workload| words.is_empty() || words.iter().any(|word| begins(workload.id, word)))
        .collect())
}

/// The lanes that `words` name, in the order of the table; `all` names every lane. If there are no
/// words: the default lanes that this build has and whose toolchain is installed.
pub(super) fn lanes(words: &[String]) -> anyhow::Result<Vec<LaneEntry>> {
    let all = lanes::all();
    let names: Vec<&str> = all.iter().map(|lane| lane.name).collect();
    refuse_unknown("lane", words, &names, |name, word| {
        word == "all" || name == word
    })?;
    let is_installed = |lane: &LaneEntry| {
        lane.foreign
            .is_none_or(|language| language.toolchain().is_ok())
    };
    let chosen = |lane: &LaneEntry| match words {
        [] => DEFAULT_LANES.contains(&lane.name) && is_installed(lane),
        _ => words.iter().any(|word| word == "all" || word == lane.name),
    };
    Ok(all.into_iter().filter(chosen).collect())
}

/// Keeps the lanes in Rust, which have a second build, and those that `words` name. Returns the
/// names of the others.
pub(super) fn keep_built(lanes: &mut Vec<LaneEntry>, words: &[String]) -> Vec<&'static str> {
    let is_kept =
        |lane: &LaneEntry| lane.foreign.is_none() || words.iter().any(|word| word == lane.name);
    let left_out = lanes.iter().filter(|lane| !is_kept(lane));
    let left_out = left_out.map(|lane| lane.name).collect();
    lanes.retain(is_kept);
    left_out
}

/// Fails at the first of `words` that matches none of `names`, with a suggestion.
pub(super) fn refuse_unknown(
    what: &str,
    words: &[String],
    names: &[&str],
    is_meant: impl Fn(&str, &str) -> bool,
) -> anyhow::Result<()> {
    let is_unknown = |word: &&String| !names.iter().any(|name| is_meant(name, word));
    match words.iter().find(is_unknown) {
        Some(word) => bail!("there is no {what} `{word}`{}", suggest(word, names)),
        None => Ok(()),
    }
}

pub(super) fn begins(id: &str, word: &str) -> bool {
    !word.is_empty() && id.starts_with(word)
}

/// The name, or part of a name before the dot, that is most like `word`; all names if none is like
/// it.
fn suggest(word: &str, names: &[&str]) -> String {
    let groups = names
        .iter()
        .filter_map(|name| Some(name.split_once('.')?.0));
    let all = names.iter().copied().chain(groups);
    let nearest = all.min_by_key(|name| distance(word, name));
    match nearest {
        Some(name) if distance(word, name) <= 1 + word.len() / 3 => {
            format!("; did you mean `{name}`?")
        }
        _ => format!("; there are: {}", names.join(", ")),
    }
}

/// The Levenshtein distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let change = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(of: &[&str]) -> Vec<String> {
        of.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_prefix_names_all_workloads_that_begin_with_it() {
        let chosen = workloads(&words(&["spawn", "switch.pingpong"])).unwrap();
        assert!(chosen.iter().any(|one| one.id == "spawn.batch"));
        assert!(
            chosen
                .iter()
                .all(|one| one.id.starts_with("spawn.") || one.id == "switch.pingpong")
        );
    }

    #[test]
    fn unknown_workload_gets_a_hint() {
        let message = workloads(&words(&["spawn.bach"])).unwrap_err().to_string();
        assert!(
            message.ends_with("did you mean `spawn.batch`?"),
            "{message}"
        );
        let message = workloads(&words(&["nonsense"])).unwrap_err().to_string();
        assert!(message.contains("there are: spawn.one"), "{message}");
    }

    #[test]
    fn lane_without_a_second_build_is_left_out_unless_it_is_named() {
        let kept = |named: &[&str]| {
            let mut kept = lanes(&words(named)).unwrap();
            let left_out = keep_built(&mut kept, &words(named));
            let has_go = kept.iter().any(|lane| lane.name == "go");
            (has_go, left_out.contains(&"go"), kept.len())
        };
        let all = kept(&["all"]);
        assert_eq!((all.0, all.1), (false, true));
        assert!(all.2 >= DEFAULT_LANES.len(), "{all:?}");
        assert_eq!(kept(&["threadbare", "go"]), (true, false, 2));
        assert_eq!(kept(&["all", "go"]).2, all.2 + 1);
    }

    #[test]
    fn lanes_come_in_the_order_of_the_table() {
        let chosen = lanes(&words(&["go", "thread"])).unwrap();
        let names: Vec<&str> = chosen.iter().map(|lane| lane.name).collect();
        assert_eq!(names, ["thread", "go"]);
        assert!(
            lanes(&words(&["thred"]))
                .unwrap_err()
                .to_string()
                .contains("`thread`")
        );
    }
}
