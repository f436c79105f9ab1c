//! `threadbare doctor`: which changes this host can detect, and how to improve it.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use reports::taints::{self, Tainted};
use reports::{Analysis, Run};
use serde_json::json;
use workloads::catalogue;

use super::arguments::{DoctorArguments, Format};
use super::list::{plain_table, trimmed};
use super::progress::Progress;
use super::stop;
use crate::cpus::Cpus;
use crate::doctor::{Check, Grade, Resolution, examine, resolutions};
use crate::environment::{Watch, host, software};
use crate::lanes;
use crate::say::{say, stdout};
use crate::scratch::Scratch;
use crate::study::{self, Depth, Setup, StudyLane};

const IDLE_WATCH: Duration = Duration::from_secs(2);
const GOAL_RATIO: f64 = 0.05;

pub(super) fn doctor(arguments: &DoctorArguments) -> anyhow::Result<ExitCode> {
    let cpus = match &arguments.cpus {
        Some(cpus) => cpus.clone().checked()?,
        None => Cpus::allowed()?,
    };
    say(format!(
        "watching the host for {} s while nothing is measured",
        IDLE_WATCH.as_secs()
    ));
    let mut watch = Watch::start();
    std::thread::sleep(IDLE_WATCH);
    let idle = watch.lap();
    let host = host();
    let checks = examine(&software(), &idle, &host.machine.hypervisor, cpus.count());
    let run = measure(arguments, cpus)?;
    let (resolutions, taints) = (resolutions(&Analysis::of(&run)), taints::by_kind(&run));
    let can_detect_goal = !resolutions.is_empty()
        && resolutions
            .iter()
            .all(|one| one.smallest_ratio.is_some_and(|ratio| ratio <= GOAL_RATIO));

    let mut out = stdout();
    match arguments.format {
        Format::Json => {
            let answer = json!({
                "machine": host.machine.key(),
                "host": host,
                "checks": checks,
                "resolutions": resolutions,
                "taints": taints,
                "goal_ratio": GOAL_RATIO,
                "able": can_detect_goal,
            });
            writeln!(out, "{answer:#}")?;
        }
        Format::Table => {
            let machine = &host.machine;
            writeln!(
                out,
                "{}: {}; {:.1} GiB; {}\n",
                reports::machine::cpu(machine),
                reports::machine::topology(machine),
                host.memory_bytes as f64 / f64::from(1 << 30),
                host.operating_system
            )?;
            print(&mut out, &checks, &taints, &resolutions, can_detect_goal)?;
        }
    }
    Ok(if can_detect_goal {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn measure(arguments: &DoctorArguments, cpus: Cpus) -> anyhow::Result<Run> {
    let toolbox = super::toolbox()?;
    let lane = lanes::find(&arguments.lane).with_context(|| {
        format!(
            "there is no lane `{}`; see `threadbare list`",
            arguments.lane
        )
    })?;
    let lane = StudyLane::new(&lane, &toolbox);
    let workloads = catalogue::all()
        .filter(|workload| workload.presets.doctor)
        .collect();
    let mut setup = Setup::new(
        Depth::Standard,
        vec![lane],
        workloads,
        cpus,
        study::random_seed(),
    );
    setup.size = catalogue::Size::Quick;
    // Finer than the goal, so a host that can just detect such a change passes.
    setup.be_precise(GOAL_RATIO / 2.0);
    setup.budget = Duration::from_secs(arguments.budget);
    let folder = Scratch::create(&format!("doctor-{}", setup.run_id))?;
    let file = folder.path().join(super::run::RUN_FILE);
    let stop = stop::on_ctrl_c().context("taking over Ctrl-C")?;
    let mut progress = Progress::new();
    let read = study::run(&setup, &file, &stop, &mut progress)
        .map_err(anyhow::Error::from)
        .and_then(|_| Ok(reports::store::read(&file)?));
    progress.finish();
    read
}

fn print(
    out: &mut impl Write,
    checks: &[Check],
    taints: &[Tainted],
    resolutions: &[Resolution],
    can_detect_goal: bool,
) -> std::io::Result<()> {
    let mut table = plain_table();
    for check in checks {
        let mark = match check.grade {
            Grade::Good => "ok",
            Grade::Unknown => "?",
            Grade::Fair => "fair",
            Grade::Bad => "BAD",
        };
        table.add_row([mark, check.subject, check.found.as_str()]);
        if !check.advice.is_empty() {
            table.add_row(["", "", &format!("→ {}", check.advice)]);
        }
    }
    writeln!(out, "{}\n", trimmed(&table))?;
    writeln!(
        out,
        "The same lane measured twice, in fresh processes that take turns:"
    )?;
    let mut table = plain_table();
    for one in resolutions {
        let smallest = one
            .smallest_ratio
            .map_or("too few repeats to say".to_owned(), |ratio| {
                format!("detects changes of {:.1}% or more", ratio * 100.0)
            });
        let differs = format!(
            "{} processes each, repeats differ by {:.1}%",
            one.processes_count,
            one.difference_ratio * 100.0
        );
        table.add_row([
            format!("  {}", one.workload),
            one.lane.clone(),
            differs,
            smallest,
        ]);
    }
    writeln!(out, "{}\n", trimmed(&table))?;
    writeln!(
        out,
        "What disturbed these figures while they were measured:"
    )?;
    if taints.is_empty() {
        writeln!(out, "  nothing: every reading stayed within its bounds")?;
    }
    for taint in taints {
        writeln!(
            out,
            "  {}, {}: {}",
            taint.title,
            taint.when(),
            taint.message
        )?;
    }
    writeln!(out)?;
    let goal = GOAL_RATIO * 100.0;
    match can_detect_goal {
        true => writeln!(out, "This host can detect a change of {goal:.0}%."),
        false => writeln!(
            out,
            "This host cannot now detect a change of {goal:.0}% in all of these: follow the advice above, or measure for longer (--budget)."
        ),
    }
}
