//! `threadbare serve`: `service.http` on one lane, for a load from another host.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use reports::analysis::Unit;
use workloads::host::reserved_port::ReservedPort;
use workloads::load::LISTEN;

use super::arguments::ServeArguments;
use super::load::{parameters, title};
use super::stop;
use crate::cpus::Cpus;
use crate::lane_process::{Answer, LaneProcess, Limits};
use crate::lanes;
use crate::say::{say, stdout};

const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(super) fn serve(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let stop = stop::on_ctrl_c().context("taking over Ctrl-C")?;
    let (workload, case) = parameters(&arguments.set)?;
    // The lane listens later. This check gives the same error for all lanes.
    let free = ReservedPort::at(arguments.listen);
    drop(free.with_context(|| format!("listening at {}", arguments.listen))?);
    let lane = lanes::find(&arguments.lane).with_context(|| {
        format!(
            "there is no lane `{}`; see: threadbare list",
            arguments.lane
        )
    })?;
    let mut command = super::toolbox()?.command(&lane)?;
    let listen = (LISTEN.into(), arguments.listen.to_string().into());
    command.variables.push(listen);
    let limits = Limits {
        sample: LONGEST,
        ..Limits::default()
    };
    let mut process = LaneProcess::start(&command, &Cpus::allowed()?, limits, &stop)?;
    say(format!(
        "{} serves at {}; `threadbare load` on another host loads it and then ends it",
        lane.name, arguments.listen
    ));
    let sample = match process.run(workload.id, &case, 1) {
        Ok(Answer::Sample(sample)) => sample,
        Ok(Answer::Refused { message, .. }) => bail!("{}: {message}", lane.name),
        Err(_) if stop.asked() => return Ok(ExitCode::from(stop::STOPPED)),
        Err(failure) => return Err(failure.into()),
    };
    process.quit()?;
    let mut out = stdout();
    writeln!(
        out,
        "CPU time: {}",
        Unit::Nanoseconds.text(sample.cpu_ns as f64)
    )?;
    for name in ["threads_count", "memory_bytes"] {
        if let Some(&value) = sample.metrics.get(name) {
            writeln!(
                out,
                "most {}: {}",
                title(name),
                Unit::of_name(name).text(value)
            )?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
