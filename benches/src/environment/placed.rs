use std::process::{Command, Stdio};
use std::sync::OnceLock;

use reports::schema::Taint;
use serde_json::{Map, Value};
use workloads::host::affinity;

/// A script of `scripts/fleet` describes the job in this variable, such as `tool=slurm kind=big`.
const VARIABLE: &str = "THREADBARE_PLACED";

/// The job of a fleet's tool that started this run: tool, job, node, kind of node, and whether the
/// run has the node alone. Empty without a known tool.
pub(super) fn placed() -> Map<String, Value> {
    static PLACED: OnceLock<Map<String, Value>> = OnceLock::new();
    let find = || {
        let cpus = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
        let cpus = cpus
            .ok()
            .flatten()
            .and_then(|count| u64::try_from(count).ok());
        read(|name| std::env::var(name).ok(), cpus, scontrol)
    };
    PLACED.get_or_init(find).clone()
}

fn scontrol(kind: &str, name: &str) -> Option<String> {
    let output = Command::new("scontrol")
        .args(["--oneliner", "show", kind, name])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

/// How many CPUs Slurm reserves for the system, by the node's `CoreSpecCount` or `CpuSpecList` or
/// the job's `--core-spec`. An exclusive job does not get them.
fn reserved_count(node: &str, job: &str) -> u64 {
    let field = |text: &str, name: &str| {
        let mut words = text.split_whitespace();
        words.find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    };
    let count = |text: &str, name: &str| field(text, name)?.parse::<u64>().ok();
    // `CPUEfctv`, the CPUs for jobs, exists from 22.05 on.
    let from_totals = count(node, "CPUTot").zip(count(node, "CPUEfctv"));
    let from_totals = from_totals.map(|(all, for_jobs)| all.saturating_sub(for_jobs));
    let from_list = field(node, "CPUSpecList").and_then(|list| affinity::parse(&list).ok());
    let from_list = from_list.map(|cpus| cpus.len() as u64);
    let cores = count(node, "CoreSpecCount").max(count(job, "CoreSpec"));
    let threads = cores.map(|cores| cores * count(node, "ThreadsPerCore").unwrap_or(1));
    from_totals.max(from_list).max(threads).unwrap_or(0)
}

/// The taint of a node that other jobs may use at the same time.
pub(super) fn shared_node_taint() -> Option<Taint> {
    (placed().get("alone") == Some(&Value::from(false))).then(|| Taint {
        kind: "shared_node".to_owned(),
        message: "the job has a part of the node's CPUs, and other jobs may have the rest; submit it with --exclusive".to_owned(),
        ..Taint::default()
    })
}

fn read(
    variable: impl Fn(&str) -> Option<String>,
    cpus: Option<u64>,
    show: impl Fn(&str, &str) -> Option<String>,
) -> Map<String, Value> {
    let mut facts = Map::new();
    if let Some(job) = variable("SLURM_JOB_ID") {
        facts.insert("tool".to_owned(), "slurm".into());
        let node = variable("SLURMD_NODENAME");
        // Slurm does not say whether a job has the node alone. A job has it alone if it has all
        // CPUs, except those that no job gets.
        let own = variable("SLURM_CPUS_ON_NODE").and_then(|count| count.parse::<u64>().ok());
        if let Some((own, all)) = own.zip(cpus) {
            let reserved = || {
                let node = node.as_deref().and_then(|node| show("node", node));
                let job = show("job", &job);
                reserved_count(&node.unwrap_or_default(), &job.unwrap_or_default())
            };
            let is_alone = own >= all || own + reserved() >= all;
            facts.insert("alone".to_owned(), is_alone.into());
        }
        facts.insert("job".to_owned(), job.into());
        facts.extend(node.map(|node| ("node".to_owned(), node.into())));
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
        read(value, Some(cpus), |_, _| None).into()
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
    fn job_of_slurm_is_alone_without_the_cpus_that_no_job_gets() {
        let alone = |own: &str, cpus: u64, node: &str, job: &str| {
            let variable = |name: &str| match name {
                "SLURM_JOB_ID" => Some("17".to_owned()),
                "SLURMD_NODENAME" => Some("n1".to_owned()),
                "SLURM_CPUS_ON_NODE" => Some(own.to_owned()),
                _ => None,
            };
            let show = |kind: &str, name: &str| match (kind, name) {
                ("node", "n1") => Some(node.to_owned()),
                ("job", "17") => Some(job.to_owned()),
                _ => None,
            };
            read(variable, Some(cpus), show)["alone"] == true
        };
        let node = "NodeName=n1 CPUAlloc=6 CPUEfctv=6 CPUTot=8 CoreSpecCount=1 CPUSpecList=6-7";
        assert!(alone("6", 8, node, "CoreSpec=*"));
        assert!(!alone("5", 8, node, "CoreSpec=*"));
        // Slurm before 22.05.
        for old in [
            "CPUTot=8 CPUSpecList=0,4",
            "CoreSpecCount=1 ThreadsPerCore=2",
        ] {
            assert!(alone("6", 8, old, ""), "{old}");
        }
        assert!(alone(
            "6",
            8,
            "CPUTot=8 CPUEfctv=8",
            "JobId=17 CoreSpec=2 OverSubscribe=NO"
        ));
        // Two nodes of one host, each with a half of its CPUs.
        assert!(!alone(
            "4",
            8,
            "CPUTot=4 CPUEfctv=4 ThreadsPerCore=1",
            "CoreSpec=*"
        ));
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
