//! `threadbare run`: measures, and writes a result file and a report.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use reports::run::{is_base, plain_name};
use reports::schema::{CrossCheck, End};
use reports::store::Claim;
use workloads::catalogue::{self, Size};
use workloads::service::database;

use super::arguments::RunArguments;
use super::progress::{Progress, rough};
use super::{FAILED, choice, shell, stop};
use crate::cpus::Cpus;
use crate::engines::Engines;
use crate::lane_process::Limits;
use crate::lanes::{self, LaneEntry};
use crate::own;
use crate::say::{say, stdout};
use crate::study::{self, Depth, Outcome, Preset, Setup, StudyLane};

pub(super) const RUN_FILE: &str = "run.jsonl";
pub(super) const REPORT_FILE: &str = "report.html";

const PRECISION_PERCENT: f64 = 4.0;

/// The time for a cell of a whole service: for ten processes in a full run, else for five.
fn service_cell_s(depth: Depth) -> u64 {
    match depth {
        Depth::Quick => 40,
        Depth::Standard => 120,
        Depth::Full => 240,
    }
}

const OUT_OF_TIME_STATUS: u8 = 1;

/// Added to the budget of a run that measures a whole service in its small form (on few lanes).
const SMALL_FORM: Duration = Duration::from_secs(45);

/// The results of a run.
#[derive(Debug)]
pub struct Ended {
    /// The outcome of the study.
    pub outcome: Outcome,
    /// The result file.
    pub run: PathBuf,
    /// The report.
    pub report: PathBuf,
    /// Whether the results could be written to stdout.
    pub printed: bool,
}

impl Ended {
    /// The program's exit status.
    #[must_use]
    pub fn status(&self) -> ExitCode {
        match self.outcome {
            Outcome { stopped: true, .. } => ExitCode::from(stop::STOPPED),
            Outcome {
                wrong_checksums_count: 1..,
                ..
            }
            | Outcome {
                crashes_count: 1.., ..
            } => ExitCode::from(1),
            _ if !self.printed => ExitCode::from(FAILED),
            _ => ExitCode::SUCCESS,
        }
    }
}

pub(super) fn run(arguments: &RunArguments, preset: Option<Preset>) -> anyhow::Result<ExitCode> {
    let command: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        // Runs are published, and the address may contain a password.
        .map(|word| match &arguments.service {
            Some(address) => word.replace(address.as_str(), "ADDRESS"),
            None => word,
        })
        .collect();
    let of_service = arguments.service.as_ref().map(|_| Preset::Service);
    let arguments = RunArguments {
        preset: preset.or(arguments.preset).or(of_service),
        ..arguments.clone()
    };
    if let Some(folder) = &arguments.with {
        anyhow::ensure!(
            arguments.preset.is_none(),
            "presets choose among the suite's own workloads; leave the preset or --with away"
        );
        if !catalogue::has_own() {
            return Err(own::start(folder)?.into());
        }
    }
    let ended = measure(&arguments, Path::new("results"), command, Vec::new())?;
    // `cargo bench` does not end with this status: there a slow host is no failure.
    match ended.outcome.out_of_time && ended.printed {
        true => Ok(ExitCode::from(OUT_OF_TIME_STATUS)),
        false => Ok(ended.status()),
    }
}

/// Measures as `arguments` say and writes the report. `results` is the folder for runs that name
/// none. Prints the result on stdout; the last line is the report's path.
///
/// # Errors
///
/// The problem and what to do.
pub fn measure(
    arguments: &RunArguments,
    results: &Path,
    command: Vec<String>,
    cross_checks: Vec<CrossCheck>,
) -> anyhow::Result<Ended> {
    let stop = stop::on_ctrl_c().context("taking over Ctrl-C")?;
    let mut progress = Progress::new();
    let (outcome, folder) = match &arguments.resume {
        Some(folder) => {
            // The file is claimed before it is read, because another process may still write it.
            let claim = Claim::of(&folder.join(RUN_FILE))?;
            let so_far = reports::store::read(claim.path())?;
            let mut setup = setup_to_resume(&so_far, arguments)?;
            if let Some(address) = &arguments.service {
                name_database(&mut setup, address)?;
            }
            (
                study::resume(&setup, &so_far, claim, &stop, &mut progress)?,
                folder.clone(),
            )
        }
        None => {
            let mut setup = setup(arguments, command)?;
            if let Some(address) = &arguments.service {
                setup
                    .set_values("backend", &[2])
                    .map_err(anyhow::Error::msg)?;
                name_database(&mut setup, address)?;
            }
            setup.cross_checks = cross_checks;
            let folder = folder(arguments, results, &setup)?;
            let outcome = study::run(&setup, &folder.join(RUN_FILE), &stop, &mut progress);
            if outcome.is_err() {
                // `remove_dir` removes only an empty folder, so no results are lost.
                let _ = std::fs::remove_dir(&folder);
            }
            (outcome?, folder)
        }
    };
    progress.finish();
    let run = folder.join(RUN_FILE);
    let report = folder.join(REPORT_FILE);
    let report = super::report::write(&run, &report)
        .with_context(|| {
            format!(
                "all that was measured is in {}; write its report later by: threadbare report {}",
                run.display(),
                shell::word(&folder)
            )
        })?
        .unwrap_or(report);
    let mut ended = Ended {
        outcome,
        run,
        report,
        printed: true,
    };
    // The run was measured, so an error here changes only the exit status.
    if let Err(error) = print_results(&ended, arguments.with.as_deref()) {
        let _ = super::refused(&error, FAILED);
        ended.printed = false;
    }
    Ok(ended)
}

fn setup(arguments: &RunArguments, command: Vec<String>) -> anyhow::Result<Setup> {
    let cpus = match &arguments.cpus {
        Some(cpus) => cpus.clone().checked()?,
        None => Cpus::allowed()?,
    };
    let depth = match arguments {
        RunArguments { quick: true, .. } | RunArguments { smoke: true, .. } => Depth::Quick,
        RunArguments { full: true, .. } => Depth::Full,
        _ => Depth::Standard,
    };
    let mut workloads = choice::workloads(&arguments.workload)?;
    let (versions, named): (Vec<&String>, Vec<&String>) = arguments
        .lane
        .iter()
        .partition(|name| lanes::versioned(name).is_some());
    let named: Vec<String> = named.into_iter().cloned().collect();
    let mut lanes = match named.is_empty() && !versions.is_empty() {
        true => Vec::new(),
        false => choice::lanes(&named)?,
    };
    let names_no_workload = arguments.workload.is_empty() && arguments.preset.is_none();
    if names_no_workload && catalogue::has_own() {
        workloads.retain(|workload| workload.is_own());
    } else if names_no_workload {
        workloads.retain(|workload| workload.presets.quick || !arguments.quick);
    }
    if arguments.lane.is_empty() && workloads.iter().all(|workload| workload.is_own()) {
        // Lanes in other languages lack the user's own workloads.
        lanes.retain(|lane| lane.foreign.is_none());
    }
    if let Some(preset) = arguments.preset {
        let chosen = preset.workloads();
        let named = |id| {
            arguments.workload.is_empty() || workloads.iter().any(|workload| workload.id == id)
        };
        workloads = chosen.into_iter().filter(|one| named(one.id)).collect();
        if workloads.is_empty() {
            anyhow::bail!(
                "the preset {} has none of these workloads; leave --workload away to see which it has",
                preset.name()
            );
        }
        if arguments.lane.is_empty() {
            lanes = preset
                .lanes()
                .iter()
                .filter_map(|name| lanes::find(name))
                .collect();
        }
    }
    if arguments.service.is_some() {
        let has_client = |lane: &LaneEntry| database::LANES.contains(&lane.name);
        if let Some(other) = lanes.iter().find(|lane| !has_client(lane))
            && !arguments.lane.is_empty()
        {
            anyhow::bail!(
                "{} has no client of PostgreSQL here; these lanes have one: {}",
                other.name,
                database::LANES.join(", ")
            );
        }
        lanes.retain(has_client);
    }
    // This follows the checks of arguments, because it may take a while.
    let toolbox = super::toolbox()?;
    let base = base_program(arguments)?;
    if base.is_some() {
        let left_out = choice::keep_built(&mut lanes, &arguments.lane);
        if !left_out.is_empty() {
            say(format!(
                "not measured: {}: lanes in other languages have no second build to compare; --lane with the name measures one all the same",
                left_out.join(", ")
            ));
        }
    }
    let of_base = |lane| StudyLane::of_base(lane, &toolbox, base.as_deref()?);
    let own = lanes.iter().map(|lane| StudyLane::new(lane, &toolbox));
    let mut lanes: Vec<StudyLane> = own.chain(lanes.iter().filter_map(of_base)).collect();
    let engines = Engines::read(arguments.engines.as_deref())?;
    for name in versions {
        let lane = engines.lane(name, &toolbox)?;
        anyhow::ensure!(
            lanes.iter().all(|other| other.name != lane.name),
            "{name} is {}, which is among the lanes already: name it once",
            lane.name
        );
        lanes.push(lane);
    }
    let seed = arguments.seed.unwrap_or_else(study::random_seed);
    let mut setup = Setup::new(depth, lanes, workloads, cpus, seed);
    setup.command = command;
    setup.preset = arguments.preset;
    setup.few_lanes = arguments.lane.is_empty() && arguments.preset.is_none();
    for (name, values) in &arguments.set {
        setup.set_values(name, values).map_err(anyhow::Error::msg)?;
    }
    // This check follows the setting of values: --set may change the limit and the delay.
    for workload in &setup.workloads {
        for case in setup.cases(workload) {
            super::load::check_limit(&case)?;
        }
    }
    setup.budget *= match arguments.preset {
        None | Some(Preset::Service) => 1,
        // `peers` has more lanes than other runs, and `growth` more numbers of tasks.
        Some(Preset::Peers | Preset::Growth) => 2,
        // The samples are also as long as those of the published measurements.
        Some(Preset::Published) => 4,
    };
    if setup.workloads.iter().any(|one| setup.is_small(one)) {
        setup.budget += SMALL_FORM;
    }
    if arguments.preset == Some(Preset::Service) {
        let lanes = setup.lanes.iter().filter(|lane| lane.command.is_ok());
        let cases = setup.workloads.iter().map(|one| setup.cases(one).len());
        let cells = (1 + lanes.count()) * cases.sum::<usize>();
        setup.budget = Duration::from_secs(cells as u64 * service_cell_s(depth));
    }
    if arguments.smoke {
        setup.size = Size::Tiny;
        setup.goes_on = false;
        setup.processes_count = 2;
        setup.memory_processes_count = 1;
        setup.samples_count = 2;
        setup.sample_target = Duration::from_millis(1);
        setup.budget = Duration::from_secs(60);
    }
    let precision = arguments.precision.or(base.map(|_| PRECISION_PERCENT));
    if let Some(percent) = precision.filter(|_| arguments.processes.is_none()) {
        setup.be_precise(percent / 100.0);
    }
    setup.twice = arguments.twice;
    if let Some(count) = arguments.processes {
        setup.goes_on = false;
        setup.processes_count = count;
        setup.memory_processes_count = setup.memory_processes_count.min(count);
    }
    if let Some(seconds) = arguments.budget {
        setup.budget = Duration::from_secs(seconds);
    }
    setup.limits = Limits::all(Duration::from_secs(arguments.timeout));
    if let Some((index, count)) = arguments.shard {
        let all = setup.workloads.len();
        setup.take_shard(index, count);
        anyhow::ensure!(
            !setup.workloads.is_empty(),
            "part {index} of {count} is empty: each part is every {count}th workload, and {all} are chosen; make at most {all} parts"
        );
    }
    Ok(setup)
}

fn name_database(setup: &mut Setup, address: &str) -> anyhow::Result<()> {
    const SPARE: u64 = 8;
    let allowed = database::fill(address).context("--service")?;
    let mut needed = 0;
    for workload in &setup.workloads {
        for case in setup.cases(workload) {
            let has_processes = setup
                .lanes
                .iter()
                .any(|lane| lane.name.starts_with("process"));
            let name = if has_processes {
                "connections_count"
            } else {
                "pool_count"
            };
            needed = needed.max(case.get(name).copied().unwrap_or(0) + SPARE);
        }
    }
    anyhow::ensure!(
        needed <= allowed,
        "this PostgreSQL allows {allowed} connections, and the lanes need {needed}: raise its max_connections, or lower connections_count and pool_count by --set"
    );
    for lane in &mut setup.lanes {
        if let Ok(command) = &mut lane.command {
            let variable = (database::DATABASE.into(), address.into());
            command.variables.push(variable);
        }
    }
    Ok(())
}

fn base_program(arguments: &RunArguments) -> anyhow::Result<Option<PathBuf>> {
    let Some(named) = &arguments.base else {
        return Ok(None);
    };
    // A name without a folder would be searched for on PATH, so the path is made absolute.
    let found = named.canonicalize().ok().filter(|path| path.is_file());
    found.map(Some).with_context(|| {
        format!(
            "--base names {}, which is no file: give the lane program of the other build, a copy of its target/release/threadbare-lane",
            named.display()
        )
    })
}

fn setup_to_resume(so_far: &reports::Run, arguments: &RunArguments) -> anyhow::Result<Setup> {
    let header = &so_far.header;
    // A run that ran out of time has an end record, but is not complete.
    let cannot_be_resumed = |end: &End| !end.interrupted || header.design.merged.is_some();
    if so_far.end.as_ref().is_some_and(cannot_be_resumed) {
        anyhow::bail!("this run has ended: there is nothing to go on with");
    }
    let toolbox = super::toolbox()?;
    let base = base_program(arguments)?;
    let mut found = Vec::new();
    let engines = Engines::read(arguments.engines.as_deref())?;
    for lane in &header.lanes {
        if lanes::versioned(&lane.name).is_some() {
            found.push(engines.lane(&lane.name, &toolbox)?);
            continue;
        }
        let entry = lanes::find(plain_name(&lane.name));
        let entry = entry.with_context(|| format!("this build has no lane {}", lane.name))?;
        if !is_base(&lane.name) {
            found.push(StudyLane::new(&entry, &toolbox));
            continue;
        }
        let program = base
            .as_deref()
            .context("this run measures another build too: name its lane program by --base")?;
        found.extend(StudyLane::of_base(&entry, &toolbox, program));
    }
    let ids = header.workloads.iter().map(|workload| {
        let found = catalogue::find(&workload.id);
        found.with_context(|| match workload.group() {
            "own" => format!(
                "{} is code of your own: name its crate by --with",
                workload.id
            ),
            _ => format!("this build has no workload {}", workload.id),
        })
    });
    let cpus: Vec<String> = header.design.cpus.iter().map(ToString::to_string).collect();
    let cpus: Cpus = cpus.join(",").parse()?;
    let workloads = ids.collect::<anyhow::Result<Vec<_>>>()?;
    let mut setup = Setup::new(
        header.design.depth,
        found,
        workloads,
        cpus.checked()?,
        header.seed,
    );
    setup.limits = Limits::all(Duration::from_secs(arguments.timeout));
    if let Some(seconds) = arguments.budget {
        setup.budget = Duration::from_secs(seconds);
    }
    Ok(setup)
}

fn folder(arguments: &RunArguments, results: &Path, setup: &Setup) -> anyhow::Result<PathBuf> {
    let folder = arguments.out.clone().unwrap_or_else(|| {
        let now = jiff::Zoned::now().strftime("%Y-%m-%dT%H-%M-%S");
        results.join(format!("{now}-{}", setup.run_id))
    });
    if folder.join(RUN_FILE).exists() {
        anyhow::bail!(
            "{} holds a run already; choose another folder with --out, or go on with it by --resume",
            folder.display()
        );
    }
    std::fs::create_dir_all(&folder).with_context(|| {
        format!(
            "making the folder {} (--out names another)",
            folder.display()
        )
    })?;
    Ok(folder)
}

fn print_results(ended: &Ended, with: Option<&Path>) -> anyhow::Result<()> {
    let run = reports::store::read(&ended.run)?;
    let mut out = stdout();
    let analysis = reports::Analysis::of(&run);
    super::show::table(&run, &analysis, &mut out)?;
    let outcome = &ended.outcome;
    let took = run
        .end
        .as_ref()
        .map(|end| Duration::from_nanos(end.elapsed_ns));
    if let Some(took) = took {
        writeln!(
            out,
            "\nmeasured {} samples in {}",
            run.samples_count(),
            rough(took)
        )?;
    }
    super::show::print_decided(analysis.decided(), &analysis.reference_lane, &mut out)?;
    if outcome.failures_count > 0 {
        writeln!(
            out,
            "cells that failed: {}; the report says why",
            outcome.failed_cells_count
        )?;
    }
    if outcome.crashes_count > 0 {
        writeln!(
            out,
            "the run has FAILED: {} processes of lanes crashed, hung or broke the protocol",
            outcome.crashes_count
        )?;
    }
    if outcome.limits_count > 0 {
        writeln!(
            out,
            "cells that met a limit of the host: {}; the report names it",
            outcome.limits_count
        )?;
    }
    if outcome.wrong_checksums_count > 0 {
        writeln!(
            out,
            "the run has FAILED: {} wrong answers; their samples do not count",
            outcome.wrong_checksums_count
        )?;
    }
    if outcome.stopped || outcome.out_of_time {
        let folder = ended.run.parent().unwrap_or(Path::new("."));
        writeln!(
            out,
            "stopped after {} blocks; go on with: threadbare run --resume {}{}",
            outcome.blocks_count,
            shell::word(folder),
            with.map(|with| format!(" --with {}", shell::word(with)))
                .unwrap_or_default()
        )?;
    }
    writeln!(out, "results: {}", ended.run.display())?;
    writeln!(out, "{}", ended.report.display())?;
    out.flush()?;
    Ok(())
}
