//! Runs our benchmarks and Go's in alternating rounds, so that a change of the host affects both.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail};
use bench_runtime::Runtime;
use comfy_table::{CellAlignment, Table, presets};
use reports::stats::quantile::median;

use super::{BENCHES, Bench, PROCS, common};

pub(crate) const FLAG: &str = "--beside-go";

const ROUNDS: usize = 5;

/// About the length of a measurement: Go's `-benchtime`.
const LENGTH: Duration = Duration::from_millis(100);

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with("--"))
        .collect();
    match compare(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("go_names: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(words: &[&str]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("a folder for Go's test programs")?;
    let go = Go::find()?;
    eprintln!("building the benchmarks of {}", go.version()?);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["benchmark", "Go ns", "ours ns", "ours / Go"]);
    for column in 1..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for procs in PROCS {
        let runtime = common::runtime(procs);
        for bench in BENCHES {
            let name = bench.full_name(procs);
            let chosen = words.is_empty() || words.iter().any(|word| name.contains(word));
            if !chosen || !bench.fits(procs) {
                continue;
            }
            let program = go.program(bench.package, folder.path())?;
            let (mut theirs, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                theirs.push(measure_go(&program, bench, procs)?);
                ours.push(measure(&runtime, bench, procs));
            }
            let (Some(theirs), Some(ours)) = (median(&theirs), median(&ours)) else {
                bail!("{name} was measured no time");
            };
            eprintln!("{name}: {theirs:.1} {ours:.1}");
            table.add_row([
                name,
                format!("{theirs:.1}"),
                format!("{ours:.1}"),
                format!("{:.2}", ours / theirs),
            ]);
        }
    }
    println!("{table}");
    println!(
        "Medians of {ROUNDS} by turns, of about {} ms each. GOMAXPROCS is the number after the dash, or 1.",
        LENGTH.as_millis()
    );
    Ok(())
}

fn measure(runtime: &Runtime, bench: &Bench, procs: usize) -> f64 {
    let run = bench.run;
    let mut operations = 1_u64;
    loop {
        let began = std::time::Instant::now();
        let took = runtime.run(move || run(operations, procs as u64));
        // `took` may be the sum of delays instead of the length.
        let length = began.elapsed();
        if length >= LENGTH || operations >= 1 << 30 {
            return took.as_nanos() as f64 / operations as f64;
        }
        let wanted = LENGTH.as_secs_f64() * 1.2 / length.as_secs_f64().max(1e-9);
        operations = (operations as f64 * wanted.clamp(1.2, 100.0)).ceil() as u64;
    }
}

fn measure_go(program: &Path, bench: &Bench, procs: usize) -> anyhow::Result<f64> {
    // Go matches each part of the name separately.
    let mut parts = bench.name.split('/');
    let mut pattern = format!("^Benchmark{}$", parts.next().unwrap_or_default());
    for part in parts {
        pattern.push_str(&format!("/^{part}$"));
    }
    let output = Command::new(program)
        .args(["-test.run=NONE", "-test.bench", &pattern])
        .arg(format!("-test.cpu={procs}"))
        .arg(format!("-test.benchtime={}ms", LENGTH.as_millis()))
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let name = format!("Benchmark{}", bench.full_name(procs));
    match figure(&text, &name) {
        Some(figure) if output.status.success() => Ok(figure),
        _ => bail!(
            "Go's benchmark {name} gave no figure:\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// From the output of `go test -bench`: the mean delay, or else the time of an operation.
fn figure(text: &str, name: &str) -> Option<f64> {
    let mut words = text
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name))?
        .split_whitespace()
        .collect::<Vec<_>>()
        .into_iter()
        .rev();
    let mut found = None;
    while let Some(unit) = words.next() {
        match unit {
            "avg-late-ns" => return words.next()?.parse().ok(),
            "ns/op" => found = words.next()?.parse().ok(),
            _ => {}
        }
    }
    found
}

struct Go {
    program: PathBuf,
}

impl Go {
    fn find() -> anyhow::Result<Self> {
        let lane = benches::lanes::find("go").context("no lane is called go")?;
        let language = lane.foreign.context("the lane go is not a foreign one")?;
        let program = language.toolchain()?;
        Ok(Self { program })
    }

    fn version(&self) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .arg("version")
            .output()
            .with_context(|| format!("starting {}", self.program.display()))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn program(&self, package: &str, folder: &Path) -> anyhow::Result<PathBuf> {
        let path = folder.join(format!("{package}.test"));
        if !path.exists() {
            let status = Command::new(&self.program)
                .args(["test", "-c", "-o"])
                .arg(&path)
                .arg(package)
                .status()
                .with_context(|| format!("building the benchmarks of Go's {package}"))?;
            if !status.success() {
                bail!("Go could not build the tests of its package {package}");
            }
        }
        Ok(path)
    }
}
