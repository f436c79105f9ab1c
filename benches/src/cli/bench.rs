//! The study as the target of `cargo bench`.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use reports::schema::CrossCheck;
use workloads::catalogue;

use super::arguments::RunArguments;
use super::run::measure;
use super::{FAILED, refused};
use crate::lane_program;
use crate::say::{say, stdout};
use crate::signals;

/// Cargo gives every target the same arguments, and most of them are meant for Criterion. This
/// target understands `--quick`, `--full`, a filter (the beginning of a workload's id), and, if it
/// is run alone, all options of `threadbare run`.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct BenchArguments {
    #[command(flatten)]
    run: RunArguments,
    /// The beginnings of workload ids.
    filter: Vec<String>,
}

#[derive(Debug)]
enum Task {
    Measure(Box<RunArguments>),
    Skip(String),
}

/// Runs the study as a bench target.
#[must_use]
pub fn bench_main() -> ExitCode {
    signals::prepare();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match parse_task(&arguments) {
        Task::Skip(why) => {
            let written = writeln!(stdout(), "{why}");
            written.map_or(ExitCode::from(FAILED), |()| ExitCode::SUCCESS)
        }
        Task::Measure(run) => {
            // Cargo runs a bench target in the folder of its package.
            let results = lane_program::workspace().join("results");
            let command = ["cargo", "bench"].map(str::to_owned).into_iter();
            let without_bench = arguments.iter().filter(|word| *word != "--bench");
            let without_bench = without_bench.map(|word| word.to_string_lossy().into_owned());
            let command = match arguments.iter().all(|word| word == "--bench") {
                true => command.collect(),
                false => command
                    .chain(["--".to_owned()])
                    .chain(without_bench)
                    .collect(),
            };
            measure(&run, &results, command, cross_checks())
                .map_or_else(|error| refused(&error, FAILED), |ended| ended.status())
        }
    }
}

/// The figures that Criterion has just measured: its targets come before this one. Older estimates
/// may be of other code.
fn cross_checks() -> Vec<CrossCheck> {
    const OLDEST: Duration = Duration::from_secs(30 * 60);
    let since = SystemTime::now().checked_sub(OLDEST);
    let folder = std::env::var_os("CRITERION_HOME").map_or_else(
        || {
            let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
            let workspace = lane_program::workspace();
            workspace
                .join(target.unwrap_or_else(|| PathBuf::from("target")))
                .join("criterion")
        },
        PathBuf::from,
    );
    let workload_of = |group: &str| {
        let workload_of = catalogue::all().find(|workload| workload.criterion == Some(group));
        workload_of.map(|workload| workload.id)
    };
    let (found, left_out) = reports::criterion::read(&folder, since, &workload_of);
    for why in left_out {
        say(format!(
            "threadbare: an estimate of Criterion's is left out: {why}"
        ));
    }
    found
}

fn parse_task(arguments: &[OsString]) -> Task {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--list") {
        return Task::Skip("study: bench".to_owned());
    }
    let test = has("--test") || !has("--bench");
    let own = arguments
        .iter()
        .filter(|word| *word != "--bench" && *word != "--test");
    let parsed = BenchArguments::try_parse_from(own).unwrap_or_else(|_| BenchArguments {
        // The arguments are for Criterion, such as `--save-baseline x`.
        run: RunArguments {
            quick: has("--quick"),
            timeout: 30,
            ..RunArguments::default()
        },
        filter: Vec::new(),
    });
    let mut run = parsed.run;
    for word in &parsed.filter {
        if catalogue::all().any(|workload| workload.id.starts_with(word.as_str())) {
            run.workload.push(word.clone());
        }
    }
    if !parsed.filter.is_empty() && run.workload.is_empty() {
        return Task::Skip(format!(
            "study: no workload begins with {}",
            parsed.filter.join(" or ")
        ));
    }
    if test {
        run.smoke = true;
        run.quick = false;
        run.full = false;
        if run.workload.is_empty() {
            let first = catalogue::all().next();
            run.workload
                .extend(first.map(|workload| workload.id.to_owned()));
        }
    }
    Task::Measure(Box::new(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(words: &[&str]) -> RunArguments {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        match parse_task(&words) {
            Task::Measure(run) => *run,
            Task::Skip(why) => panic!("skipped: {why}"),
        }
    }

    #[test]
    fn plain_cargo_bench_measures_everything() {
        let run = measured(&["--bench"]);
        assert!(!run.quick && !run.full && !run.smoke && run.workload.is_empty());
    }

    #[test]
    fn quick_reaches_the_study() {
        assert!(measured(&["--quick", "--bench"]).quick);
    }

    #[test]
    fn options_of_criterion_are_ignored() {
        let run = measured(&["--save-baseline", "main", "--quick", "--bench"]);
        assert!(run.quick && run.workload.is_empty());
    }

    #[test]
    fn a_filter_chooses_workloads_or_skips_the_study() {
        assert_eq!(measured(&["spawn", "--bench"]).workload, ["spawn"]);
        let words = ["run_queue/drain", "--bench"].map(OsString::from);
        assert!(matches!(parse_task(&words), Task::Skip(_)));
    }

    #[test]
    fn under_cargo_test_it_only_checks_that_it_works() {
        let run = measured(&["--test"]);
        assert!(run.smoke && run.workload == ["spawn.one"]);
        assert!(measured(&[]).smoke, "cargo test gives no argument at all");
    }

    #[test]
    fn all_options_of_run_are_accepted() {
        let run = measured(&["--bench", "--lane", "thread,tokio", "--seed", "7"]);
        assert_eq!((run.lane.len(), run.seed), (2, Some(7)));
    }
}
