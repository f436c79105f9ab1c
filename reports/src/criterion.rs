//! Criterion's estimates, read from its folder, as cross-checks of the study.
//!
//! Criterion measures in one process, the study in many fresh ones in random order. If the two
//! differ beyond both intervals, the process or its age affects the figure.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;

use crate::schema::CrossCheck;

/// Returns the workload that measures the same operation as the Criterion group of this name.
pub type Same<'a> = &'a dyn Fn(&str) -> Option<&'static str>;

/// The lanes whose names in the benchmarks differ from ours: the benchmarks' tokio runs on one
/// thread, and `std` belongs to no lane.
const LANES: [(&str, Option<&str>); 2] = [("tokio", Some("tokio-ct")), ("std", None)];

const DEEPEST: usize = 6;
const LARGEST_BYTES: u64 = 1 << 20;

/// Reads the estimates under `folder` (`target/criterion`) that were written after `since` and for
/// which `same` names a workload, sorted by name. A missing folder has no estimates.
///
/// Also returns a text for each estimate that cannot be read. Files that Criterion did not write
/// are skipped.
#[must_use]
pub fn read(
    folder: &Path,
    since: Option<SystemTime>,
    same: Same<'_>,
) -> (Vec<CrossCheck>, Vec<String>) {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    if folder.is_dir() {
        visit(folder, since, same, 0, &mut found, &mut unread);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    (found, unread)
}

fn visit(
    folder: &Path,
    since: Option<SystemTime>,
    same: Same<'_>,
    depth: usize,
    found: &mut Vec<CrossCheck>,
    unread: &mut Vec<String>,
) {
    let of_benchmark = folder.join("new").join("benchmark.json");
    let estimates = folder.join("new").join("estimates.json");
    if of_benchmark.is_file() && is_newer(&estimates, since) {
        match (json(&of_benchmark), json(&estimates)) {
            (Ok(benchmark), Ok(estimates)) => found.extend(check(&benchmark, &estimates, same)),
            (Err(why), _) | (_, Err(why)) => unread.push(why),
        }
    }
    if depth == DEEPEST {
        return;
    }
    let why = |error: io::Error| format!("{}: {error}", folder.display());
    match fs::read_dir(folder) {
        Err(error) => unread.push(why(error)),
        Ok(entries) => {
            // Links are not followed, because they could form a cycle.
            for entry in entries {
                match entry.and_then(|entry| Ok((entry.file_type()?.is_dir(), entry.path()))) {
                    Ok((true, path)) => visit(&path, since, same, depth + 1, found, unread),
                    Ok((false, _)) => {}
                    Err(error) => unread.push(why(error)),
                }
            }
        }
    }
}

fn is_newer(path: &Path, since: Option<SystemTime>) -> bool {
    let written = fs::metadata(path).and_then(|facts| facts.modified());
    written.is_ok_and(|written| since.is_none_or(|since| written > since))
}

/// The file's JSON; null if the file is missing, too large or not JSON; an error if it cannot be
/// read.
fn json(path: &Path) -> Result<Value, String> {
    if fs::metadata(path).map_or(true, |facts| facts.len() > LARGEST_BYTES) {
        return Ok(Value::Null);
    }
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or(Value::Null)),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn check(benchmark: &Value, estimates: &Value, same: Same<'_>) -> Option<CrossCheck> {
    let group = benchmark.get("group_id")?.as_str()?;
    let workload = same(group)?;
    // A `value_str` of `2P` means two workers.
    let lane = benchmark.get("function_id")?.as_str()?;
    let workers = benchmark.get("value_str").and_then(Value::as_str);
    let workers = workers.and_then(|value| value.strip_suffix('P'));
    let lane = match LANES.iter().find(|(theirs, _)| *theirs == lane) {
        Some((_, ours)) => (*ours)?,
        None => lane,
    };
    let median = estimates.get("median")?;
    let interval = median.get("confidence_interval")?;
    Some(CrossCheck {
        source: "criterion".to_owned(),
        name: benchmark.get("full_id")?.as_str()?.to_owned(),
        workload: workload.to_owned(),
        lane: lane.to_owned(),
        workers_count: workers.and_then(|count| count.parse().ok()),
        value_ns: median.get("point_estimate")?.as_f64()?,
        low_ns: interval.get("lower_bound")?.as_f64()?,
        high_ns: interval.get("upper_bound")?.as_f64()?,
        ..CrossCheck::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(group: &str) -> Option<&'static str> {
        match group {
            "spawn/one" => Some("spawn.one"),
            "channel/round_trip" => Some("switch.pingpong"),
            _ => None,
        }
    }

    #[test]
    fn estimates_of_known_groups_are_read_and_others_ignored() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, text).expect("a file");
        };
        let estimates = r#"{"median":{"confidence_interval":{"confidence_level":0.95,"lower_bound":300.0,"upper_bound":310.0},"point_estimate":305.0,"standard_error":1.0}}"#;
        for (group, function, value) in [
            ("spawn/one", "threadbare", Some("2P")),
            ("spawn/one", "tokio", None),
            ("channel/round_trip", "std", None),
            ("run_queue/drain", "steal", Some("64")),
        ] {
            let full = [group, function].into_iter().chain(value);
            let full = full.collect::<Vec<_>>().join("/");
            let place = format!("{}/new", full.replace('/', "_"));
            let value = value.map_or("null".to_owned(), |value| format!("\"{value}\""));
            let benchmark = format!(
                r#"{{"group_id":"{group}","function_id":"{function}","value_str":{value},"throughput":null,"full_id":"{full}"}}"#
            );
            put(&format!("{place}/benchmark.json"), &benchmark);
            put(&format!("{place}/estimates.json"), estimates);
        }
        put("broken/new/benchmark.json", "{");
        put("odd/new/benchmark.json", "{}");
        fs::create_dir(folder.path().join("odd/new/estimates.json")).expect("a folder");
        let (found, unread) = read(folder.path(), None, &same);
        assert_eq!(unread.len(), 1, "{unread:?}");
        assert!(unread[0].contains("odd/new/estimates.json"), "{unread:?}");
        let lanes: Vec<_> = found
            .iter()
            .map(|one| (one.workload.as_str(), one.lane.as_str(), one.workers_count))
            .collect();
        assert_eq!(
            lanes,
            [
                ("spawn.one", "threadbare", Some(2)),
                ("spawn.one", "tokio-ct", None)
            ]
        );
        assert_eq!((found[0].value_ns, found[0].low_ns), (305.0, 300.0));
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        let (found, _) = read(folder.path(), Some(later), &same);
        assert!(found.is_empty(), "older than asked for: {found:?}");
    }

    #[test]
    fn missing_folder_has_no_estimates() {
        let nothing = (Vec::new(), Vec::new());
        assert_eq!(read(Path::new("no/such/folder"), None, &same), nothing);
    }
}
