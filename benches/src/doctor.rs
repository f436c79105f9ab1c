//! The changes that this host can detect, and its disturbances. No check changes the host.

use std::collections::BTreeMap;

use reports::Analysis;
use serde::Serialize;
use serde_json::Value;

use reports::schema::UNKNOWN;

use crate::environment::{Bounds, Readings};

/// One fact that affects the figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The fact that was checked.
    pub subject: &'static str,
    /// The result of the check.
    pub grade: Grade,
    /// The value found.
    pub found: String,
    /// The advice; empty if all is well.
    pub advice: String,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Nothing to do.
    Good,
    /// The host does not show the fact.
    Unknown,
    /// Figures may be less precise, or a lane may reach its limit early.
    Fair,
    /// Figures may be wrong.
    Bad,
}

fn check(subject: &'static str, grade: Grade, found: String, advice: &str) -> Check {
    let advice = if grade == Grade::Good {
        String::new()
    } else {
        advice.to_owned()
    };
    Check {
        subject,
        grade,
        found,
        advice,
    }
}

fn unknown(subject: &'static str) -> Check {
    check(subject, Grade::Unknown, "the host does not say".into(), "")
}

/// Grades the facts of [`crate::environment::software`]. `idle` are readings while nothing was
/// measured, `cpus` the number of CPUs for the lanes.
#[must_use]
pub fn examine(
    facts: &BTreeMap<String, Value>,
    idle: &Readings,
    hypervisor: &str,
    cpus: usize,
) -> Vec<Check> {
    let mut checks = vec![
        load(idle),
        steal(idle, hypervisor),
        governor(facts),
        turbo(facts),
        quota(facts, cpus),
        swap(idle),
        clock(facts),
        build(facts),
        huge_pages(facts),
    ];
    checks.extend(limits(facts));
    checks
}

fn text<'a>(facts: &'a BTreeMap<String, Value>, name: &str) -> Option<&'a str> {
    facts.get(name)?.as_str()
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn load(idle: &Readings) -> Check {
    const ADVICE: &str = "stop them (`top` names them), or measure when the host is idle";
    match idle.get("others_ratio") {
        None => check(
            "other programs",
            Grade::Unknown,
            "the host does not say".into(),
            ADVICE,
        ),
        Some(&share) => {
            let bound = Bounds::default().others_ratio;
            let grade = match share {
                _ if share <= bound => Grade::Good,
                _ if share <= 4.0 * bound => Grade::Fair,
                _ => Grade::Bad,
            };
            check(
                "other programs",
                grade,
                format!("use {} of the CPU time", percent(share)),
                ADVICE,
            )
        }
    }
}

fn steal(idle: &Readings, hypervisor: &str) -> Check {
    const SUBJECT: &str = "the hypervisor";
    if hypervisor == "none" {
        return check(SUBJECT, Grade::Good, "there is none".to_owned(), "");
    }
    let share = idle.get("steal_ratio").copied();
    let Some(share) = share.filter(|_| hypervisor != UNKNOWN) else {
        return unknown(SUBJECT);
    };
    let bound = Bounds::default().steal_ratio;
    let found = format!(
        "{hypervisor}: it took {} of the CPU time while nothing was measured",
        percent(share)
    );
    let grade = if share > bound {
        Grade::Bad
    } else {
        Grade::Fair
    };
    check(
        SUBJECT,
        grade,
        found,
        "use a dedicated machine, or measure more processes (--precision)",
    )
}

fn governor(facts: &BTreeMap<String, Value>) -> Check {
    const ADVICE: &str = "cpupower frequency-set -g performance";
    match text(facts, "governor") {
        Some("performance") => check("frequency governor", Grade::Good, "performance".into(), ""),
        Some(other) => check("frequency governor", Grade::Fair, other.to_owned(), ADVICE),
        None => check(
            "frequency governor",
            Grade::Unknown,
            "the host does not say (a virtual machine seldom does)".into(),
            "",
        ),
    }
}

fn turbo(facts: &BTreeMap<String, Value>) -> Check {
    const ADVICE: &str = "turn it off for the steadiest figures: echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 > /sys/devices/system/cpu/cpufreq/boost";
    match facts.get("turbo").and_then(Value::as_bool) {
        Some(false) => check("turbo", Grade::Good, "off".into(), ""),
        Some(true) => {
            let found = "on: the clock follows heat and the number of busy cores";
            check("turbo", Grade::Fair, found.into(), ADVICE)
        }
        None => unknown("turbo"),
    }
}

fn quota(facts: &BTreeMap<String, Value>, cpus: usize) -> Check {
    let Some(quota) = facts.get("cgroup_cpus_ratio") else {
        return unknown("CPU quota");
    };
    match quota.as_f64() {
        None => check("CPU quota", Grade::Good, "none".into(), ""),
        Some(quota) if quota >= cpus as f64 => check(
            "CPU quota",
            Grade::Good,
            format!("{quota:.2} CPUs, enough for {cpus}"),
            "",
        ),
        Some(quota) => check(
            "CPU quota",
            Grade::Bad,
            format!("{quota:.2} CPUs for lanes that see {cpus}: they will be throttled"),
            "raise it, or give the lanes fewer CPUs with --cpus",
        ),
    }
}

fn swap(idle: &Readings) -> Check {
    match idle.get("swap_used_bytes").copied() {
        None => unknown("swap"),
        Some(0.0) => check("swap", Grade::Good, "none in use".into(), ""),
        Some(bytes) => check(
            "swap",
            Grade::Fair,
            format!(
                "{:.0} MiB in use: memory figures leave them out",
                bytes / 1_048_576.0
            ),
            "swapoff -a, then swapon -a",
        ),
    }
}

fn clock(facts: &BTreeMap<String, Value>) -> Check {
    // The vDSO reads these clocks without a system call.
    const FAST: [&str; 4] = [
        "tsc",
        "kvm-clock",
        "arch_sys_counter",
        "hyperv_clocksource_tsc_page",
    ];
    match text(facts, "clock_source") {
        Some(source) if FAST.contains(&source) => {
            check("clock source", Grade::Good, source.to_owned(), "")
        }
        Some(source) => check(
            "clock source",
            Grade::Bad,
            format!("{source}: reading it may cost a microsecond"),
            "see /sys/devices/system/clocksource/clocksource0/available_clocksource; tsc is best",
        ),
        None => unknown("clock source"),
    }
}

fn build(facts: &BTreeMap<String, Value>) -> Check {
    match text(facts, "opt_level") {
        Some("3") => check("this build", Grade::Good, "optimised".into(), ""),
        level => check(
            "this build",
            Grade::Bad,
            format!("opt-level {}", level.unwrap_or("unknown")),
            "cargo run --release -p benches -- …",
        ),
    }
}

fn huge_pages(facts: &BTreeMap<String, Value>) -> Check {
    let setting = text(facts, "thp").unwrap_or_default();
    match setting
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
    {
        Some(("always", _)) => check(
            "huge pages",
            Grade::Fair,
            "always: one touched byte of a large stack may cost 2 MiB".into(),
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        Some((other, _)) => check("huge pages", Grade::Good, other.to_owned(), ""),
        None => unknown("huge pages"),
    }
}

fn limits(facts: &BTreeMap<String, Value>) -> Vec<Check> {
    // A thread's stack, its signal stack, and a guard for each.
    const AREAS_OF_A_THREAD: u64 = 4;
    let number = |name: &str| match facts.get(name) {
        Some(Value::String(text)) if text == "unlimited" => Some(u64::MAX),
        value => value.and_then(Value::as_u64),
    };
    let graded =
        |subject, limit: Option<u64>, enough: u64, found: &dyn Fn(u64) -> String, advice| {
            limit.map_or_else(
                || unknown(subject),
                |limit| {
                    let grade = match limit >= enough {
                        true => Grade::Good,
                        false => Grade::Fair,
                    };
                    let found = match limit {
                        u64::MAX => "unlimited".to_owned(),
                        limit => found(limit),
                    };
                    check(subject, grade, found, advice)
                },
            )
        };
    vec![
        graded(
            "threads",
            number("max_map_count"),
            100_000 * AREAS_OF_A_THREAD,
            &|areas| {
                let threads = areas / AREAS_OF_A_THREAD;
                format!("max_map_count {areas}: about {threads} threads a process")
            },
            "sysctl -w vm.max_map_count=1048576",
        ),
        graded(
            "processes",
            number("pid_max_count"),
            32_769,
            &|pids| format!("pid_max {pids}, threads included"),
            "sysctl -w kernel.pid_max=4194304",
        ),
        graded(
            "open files",
            number("open_files_limit_count"),
            65_536,
            &|files| format!("{files}: about as many connections"),
            "ulimit -n 1048576 before the run",
        ),
    ]
}

/// The smallest change of a figure that this host can detect.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resolution {
    /// The workload's id.
    pub workload: String,
    /// The lane, compared with itself.
    pub lane: String,
    /// Fresh processes of each side.
    pub processes_count: usize,
    /// The difference between both sides, as a share.
    pub difference_ratio: f64,
    /// The smallest change, as a share; `None` if there are too few processes.
    pub smallest_ratio: Option<f64>,
}

/// The resolutions by a run's A/A pairs, as the gate judges: a change must exceed the pair's
/// difference and half of its interval.
#[must_use]
pub fn resolutions(analysis: &Analysis) -> Vec<Resolution> {
    let mut found: BTreeMap<&str, Resolution> = BTreeMap::new();
    for pair in &analysis.noise.pairs {
        // A workload's first pair is of its first quantity.
        let difference_ratio = pair.distance();
        let row = analysis
            .rows_of(&pair.workload)
            .find(|row| row.lane == pair.lane && row.case == pair.case);
        found.entry(&pair.workload).or_insert_with(|| Resolution {
            workload: pair.workload.clone(),
            lane: pair.lane.clone(),
            processes_count: row.map_or(0, |row| row.processes_count),
            difference_ratio,
            smallest_ratio: pair.half_width().map(|width| width.max(difference_ratio)),
        });
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(of: &[(&str, Value)]) -> BTreeMap<String, Value> {
        of.iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    fn grade_of(checks: &[Check], subject: &str) -> Grade {
        checks
            .iter()
            .find(|check| check.subject == subject)
            .unwrap()
            .grade
    }

    #[test]
    fn host_without_problems_gets_no_advice() {
        let facts = facts(&[
            ("governor", json!("performance")),
            ("turbo", json!(false)),
            ("clock_source", json!("tsc")),
            ("opt_level", json!("3")),
            ("thp", json!("always [madvise] never")),
            ("max_map_count", json!(1_048_576)),
            ("pid_max_count", json!(4_194_304)),
            ("open_files_limit_count", json!(1_048_576)),
            ("cgroup_cpus_ratio", json!("unlimited")),
        ]);
        let idle = [("others_ratio", 0.01), ("swap_used_bytes", 0.0)];
        let idle = Readings::from(idle.map(|(name, value)| (name.to_owned(), value)));
        let checks = examine(&facts, &idle, "none", 8);
        assert!(
            checks.iter().all(|check| check.grade == Grade::Good),
            "{checks:#?}"
        );
        assert!(checks.iter().all(|check| check.advice.is_empty()));
    }

    #[test]
    fn a_quota_below_the_cpus_is_bad_and_says_what_to_do() {
        let checks = examine(
            &facts(&[("cgroup_cpus_ratio", json!(1.5))]),
            &Readings::new(),
            "kvm",
            4,
        );
        let quota = checks
            .iter()
            .find(|check| check.subject == "CPU quota")
            .unwrap();
        assert_eq!(quota.grade, Grade::Bad);
        assert!(quota.found.starts_with("1.50 CPUs") && quota.advice.contains("--cpus"));
    }

    #[test]
    fn a_busy_host_is_graded_by_how_busy_it_is() {
        let grade = |share| {
            let idle = Readings::from([("others_ratio".to_owned(), share)]);
            grade_of(
                &examine(&BTreeMap::new(), &idle, "none", 2),
                "other programs",
            )
        };
        assert_eq!(
            [0.01, 0.1, 0.5].map(grade),
            [Grade::Good, Grade::Fair, Grade::Bad]
        );
    }

    #[test]
    fn missing_facts_are_unknown_and_not_good() {
        let checks = examine(&BTreeMap::new(), &Readings::new(), UNKNOWN, 2);
        for check in checks.iter().filter(|check| check.subject != "this build") {
            assert_eq!(check.grade, Grade::Unknown, "{check:?}");
        }
    }
}
