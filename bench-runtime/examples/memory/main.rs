//! What a goroutine weighs and what compaction costs, beside real Go: the
//! benchmark of the stacks. See `--help`.
//!
//! Each reading is a process of its own: the parent plans, starts children one
//! after the other, and writes what they answer as tables.

mod costs;
mod go;
mod ledger;
mod park;
mod table;

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bench_runtime::compaction_stats;

const HELP: &str = "\
What a goroutine weighs and what compaction costs, beside real Go.

    cargo run --release -p bench-runtime --example memory -- [OPTIONS] [COUNT...]

COUNT             goroutines of a reading; 100000 and 1000000 unless given
--rounds N        fresh processes for each reading, interleaved; 3 unless given
--huge COUNT      goroutines parked and compacted at once, one process; 10000000
                  unless given, which wants 12 GiB; 0 leaves it out
--no-costs        leaves the costs of compaction out

Every reading is the whole ledger: what is resident, page tables, the kernel's
slab, and what the machine's MemAvailable lost. Afterwards all are woken and
their sum is checked. `slab` and `machine` are of the whole machine, so nothing
else should run. Go is `go` on the path, or what THREADBARE_GO names; without
one its rows are left out. The default takes five minutes on two CPUs.
";

/// The longest wait of a child for one thing.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The options of the command line.
struct Plan {
    counts: Vec<usize>,
    rounds: usize,
    huge: usize,
    costs: bool,
}

impl Plan {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self {
            counts: Vec::new(),
            rounds: 3,
            huge: 10_000_000,
            costs: true,
        };
        let number = |text: Option<String>, what: &str| {
            let text = text.ok_or_else(|| format!("{what} wants a number"))?;
            text.replace('_', "")
                .parse::<usize>()
                .map_err(|_| format!("{what} is a number, not {text:?}"))
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => plan.rounds = number(arguments.next(), "--rounds")?.max(1),
                "--huge" => plan.huge = number(arguments.next(), "--huge")?,
                "--no-costs" => plan.costs = false,
                _ => {
                    let count = number(Some(argument), "COUNT")?;
                    if count < 1000 {
                        return Err("COUNT is 1000 at least: fewer weigh less than noise".into());
                    }
                    plan.counts.push(count);
                }
            }
        }
        if plan.counts.is_empty() {
            plan.counts = vec![100_000, 1_000_000];
        }
        Ok(plan)
    }
}

/// What a child answered: names and numbers.
#[derive(Clone, Debug, Default)]
struct Answer(Vec<(String, f64)>);

impl Answer {
    fn parse(text: &str) -> Self {
        let pair = |word: &str| {
            let (name, value) = word.split_once('=')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(text.split_whitespace().filter_map(pair).collect())
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.all(name).first().copied()
    }

    /// All of one name.
    fn all(&self, name: &str) -> Vec<f64> {
        let named = self.0.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| *value).collect()
    }
}

/// Runs this program again with these arguments and reads what it says.
fn child(arguments: &[&str]) -> Result<Answer, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    answer_of(Command::new(exe).arg("--child").args(arguments))
}

fn answer_of(command: &mut Command) -> Result<Answer, String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(Answer::parse(&String::from_utf8_lossy(&output.stdout))),
        false => Err(format!("{command:?} failed: {}", output.status)),
    }
}

/// Stacks that are in a cell now.
fn compacted() -> usize {
    let stats = compaction_stats();
    (stats.compacted_count - stats.restored_count) as usize
}

/// Waits until something holds, which must not take for ever: a goroutine that
/// got no stack, say, never runs.
fn until(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TIMEOUT, "no end in {TIMEOUT:?}");
        bench_runtime::time::sleep(Duration::from_millis(2));
    }
}

fn run(plan: &Plan) -> Result<(), String> {
    let mut verdicts = table::Verdicts::default();
    table::heading(plan.rounds);
    let go = go::Program::build();
    match &go {
        Ok(go) => println!("go:      {}", go.version()),
        Err(reason) => println!("go:      left out: {reason}"),
    }
    for &count in &plan.counts {
        let mut rows = table::Rows::new(count);
        for round in 1..=plan.rounds {
            eprintln!("{count} goroutines, round {round} of {}", plan.rounds);
            for state in park::STATES {
                let answer = child(&["park", state.name, &count.to_string()])?;
                rows.add(state.label, answer);
            }
            if let Ok(go) = &go {
                rows.add(table::GO, go.park(count)?);
            }
        }
        rows.print(&mut verdicts);
    }
    if plan.costs {
        costs::table(plan.rounds, &mut verdicts)?;
    }
    if plan.huge > 0 {
        eprintln!("{} goroutines, once", plan.huge);
        let answer = child(&["park", park::HUGE, &plan.huge.to_string()])?;
        table::huge(plan.huge, &answer, &mut verdicts);
    }
    verdicts.print();
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["--child", "park", state, count] => park::child(state, count),
        ["--child", "cycle", slots, count] => costs::cycle(slots, count),
        ["--child", "pairs", compacts, pairs] => costs::pairs(compacts, pairs),
        _ if words.iter().any(|word| matches!(*word, "-h" | "--help")) => {
            print!("{HELP}");
            Ok(())
        }
        _ => match Plan::parse(arguments.into_iter()) {
            Ok(plan) => run(&plan),
            Err(error) => Err(format!("{error}\n\n{HELP}")),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
