//! The job of a fleet's tool (such as Slurm) that started this run, if one did.

use reports::schema::Taint;
use serde_json::{Map, Value};

/// The variable in which a script of `scripts/fleet` describes the job, such as `tool=slurm
/// kind=big`.
const VARIABLE: &str = "THREADBARE_PLACED";

/// Tool, job, node and kind of node, and whether the node is this run's alone; empty
/// if no tool is known.
pub(super) fn placed() -> Map<String, Value> {
    let cpus = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
    let cpus = cpus
        .ok()
        .flatten()
        .and_then(|count| u64::try_from(count).ok());
    read(|name| std::env::var(name).ok(), cpus)
}

/// The taint of a node that other jobs may use at the same time.
pub(super) fn shared_node_taint() -> Option<Taint> {
    (placed().get("alone") == Some(&Value::from(false))).then(|| Taint {
        kind: "shared_node".to_owned(),
        message: "the job has a part of the node's CPUs, and other jobs may have the rest; submit it with --exclusive".to_owned(),
        ..Taint::default()
    })
}

fn read(variable: impl Fn(&str) -> Option<String>, cpus: Option<u64>) -> Map<String, Value> {
    let mut facts = Map::new();
    if let Some(job) = variable("SLURM_JOB_ID") {
        facts.insert("tool".to_owned(), "slurm".into());
        facts.insert("job".to_owned(), job.into());
        if let Some(node) = variable("SLURMD_NODENAME") {
            facts.insert("node".to_owned(), node.into());
        }
        // Slurm does not tell a job that it has the node alone. A job that has all of the node's
        // CPUs has it alone.
        let own = variable("SLURM_CPUS_ON_NODE").and_then(|count| count.parse::<u64>().ok());
        if let Some((own, all)) = own.zip(cpus) {
            facts.insert("alone".to_owned(), (own >= all).into());
        }
    }
    let words = variable(VARIABLE).unwrap_or_default();
    for (name, value) in words
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
    {
        let value = match value {
            "true" => true.into(),
            "false" => false.into(),
            text => text.into(),
        };
        facts.insert(name.to_owned(), value);
    }
    facts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(variables: &[(&str, &str)], cpus: u64) -> Value {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        read(value, Some(cpus)).into()
    }

    #[test]
    fn run_without_a_tool_is_placed_by_none() {
        assert_eq!(of(&[], 8), json!({}));
    }

    #[test]
    fn job_of_slurm_is_alone_if_it_has_all_cpus_of_its_node() {
        let job = [
            ("SLURM_JOB_ID", "17"),
            ("SLURMD_NODENAME", "n1"),
            ("SLURM_CPUS_ON_NODE", "8"),
            (VARIABLE, "tool=slurm kind=big"),
        ];
        let placed = |alone: bool| json!({"tool": "slurm", "job": "17", "node": "n1", "kind": "big", "alone": alone});
        assert_eq!(of(&job, 8), placed(true));
        assert_eq!(of(&job, 16), placed(false));
    }

    #[test]
    fn placement_by_another_tool_is_read_from_a_variable() {
        let words = [(VARIABLE, "tool=ansible node=pi4 kind=pi alone=true")];
        assert_eq!(
            of(&words, 4),
            json!({"tool": "ansible", "node": "pi4", "kind": "pi", "alone": true})
        );
    }
}
