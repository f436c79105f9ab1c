//! `threadbare load`: searches for the highest rate that a service on another host can answer.

use std::io::Write;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reports::analysis::Unit;
use reports::stats::histogram::shown_percentile;
use workloads::catalogue::{self, Size, Workload};
use workloads::load::service::{self, Given};
use workloads::protocol::Parameters;

use super::arguments::LoadArguments;
use crate::say::{say, stdout};
use crate::study::Preset;

const PERCENTILES: [(&str, f64); 3] = [
    ("median latency", 0.5),
    ("99th percentile of latency", 0.99),
    ("99.9th percentile of latency", 0.999),
];
/// The highest rate that held, and how many times as high the next rate is, which did not hold.
const RATE: &str = "rate_per_s";
const GAP: &str = "rate_gap_ratio";
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn load(arguments: &LoadArguments) -> anyhow::Result<ExitCode> {
    let (_, parameters) = parameters(&arguments.set)?;
    let address = reach(&arguments.host)?;
    let seconds = (service::around_ns(&parameters) + parameters["hold_ns"]).div_ceil(1_000_000_000);
    say(format!("loading {address} for about {seconds} s"));
    let report = service::run(&service::Arguments {
        address,
        remote: true,
        given: Given::from(&parameters),
    })?;
    let mut out = stdout();
    for (title, share) in PERCENTILES {
        if let Some(ns) = shown_percentile(&report.latency.buckets, share) {
            let latency = Unit::Nanoseconds.text(ns as f64);
            writeln!(out, "{title} at 50% of the highest rate: {latency}")?;
        }
    }
    for (name, &value) in &report.metrics {
        let text = |value| Unit::of_name(name).text(value);
        let text = match name.as_str() {
            GAP => continue,
            // One search tells only that the highest rate is between these two.
            RATE => {
                let next = value * report.metrics.get(GAP).copied().unwrap_or(1.0);
                let range = reports::format::range(&text(value), &text(next));
                format!("{range}, by one search: another may differ by more")
            }
            _ => text(value),
        };
        writeln!(out, "{}: {text}", title(name))?;
    }
    out.flush()?;
    anyhow::ensure!(
        report.checksum == 1,
        "some answers were wrong: do both sides have the same --set?"
    );
    Ok(ExitCode::SUCCESS)
}

fn reach(host: &str) -> anyhow::Result<SocketAddr> {
    let mut found = host
        .to_socket_addrs()
        .with_context(|| format!("{host} is no HOST:PORT"))?;
    let address = found
        .next()
        .with_context(|| format!("{host} has no address"))?;
    let start = Instant::now();
    while let Err(error) = TcpStream::connect_timeout(&address, TIMEOUT) {
        if start.elapsed() > TIMEOUT {
            bail!(
                "no service can be reached at {address}: {error}; start one there by: threadbare serve"
            );
        }
        sleep(Duration::from_millis(100));
    }
    Ok(address)
}

/// The workload, and its parameters: those of the preset, with these values.
pub(super) fn parameters(
    set: &[(String, Vec<u64>)],
) -> anyhow::Result<(&'static Workload, Parameters)> {
    let workload = catalogue::find("service.http").context("there is no service.http")?;
    let cases = Preset::Service.cases(workload, Size::Full, 1);
    let mut case = cases.into_iter().next().context("it has no case")?;
    for (name, values) in set {
        let [value] = values[..] else {
            bail!("--set {name}: give one value");
        };
        case.insert(name.clone(), value);
    }
    workload.check(&case).map_err(anyhow::Error::msg)?;
    check_limit(&case)?;
    Ok((workload, case))
}

/// Refuses a limit below the backend's delay, which no answer can keep.
pub(super) fn check_limit(case: &Parameters) -> anyhow::Result<()> {
    let value = |name: &str| case.get(name).copied();
    if let (Some(limit), Some(delay), Some(0)) =
        (value("limit_ns"), value("delay_ns"), value("backend"))
        && limit <= delay
    {
        let [limit, delay] = [limit, delay].map(|ns| Unit::Nanoseconds.text(ns as f64));
        bail!(
            "service.http: the limit (limit_ns) is {limit} and the backend takes {delay} (delay_ns) for each answer, so no rate can hold: raise the limit, such as by --set limit=100ms, or lower the delay"
        );
    }
    Ok(())
}

pub(super) fn title(name: &str) -> &str {
    let known = catalogue::FIGURES.iter().find(|(known, _)| *known == name);
    known.map_or(name, |(_, title)| title)
}

#[cfg(test)]
mod tests {
    use reports::stats::histogram::shown_percentile;
    use workloads::protocol::has_percentile;

    #[test]
    fn load_generator_and_page_show_the_same_percentiles() {
        for count in (0..=4_000).chain([u64::MAX]) {
            for share in [0.5, 0.9, 0.99, 0.999] {
                let told = shown_percentile(&[(1, count)], share).is_some();
                assert_eq!(told, has_percentile(count, share), "{share} of {count}");
            }
        }
    }
}
