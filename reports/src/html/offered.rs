//! The load that a service can carry: a table, and latency over the offered rate.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::figures::curves_of_lanes;
use super::view::{View, capital};
use crate::analysis::{Case, HEADROOM, LEAST_HEADROOM, RATE, Row, Unit};
use crate::format;
use crate::plot::{Curves, Ideal, Line, Scale};
use crate::schema::Workload;
use crate::stats::Estimate;

const OTHER_LOAD: &str = "threadbare run --preset service --lane threadbare,thread,tokio,go --set connections=5000 --set rounds=7500 --set delay=30ms --set limit=100ms --set in_flight=1000 --set pool=1000 --set try=1s --set search=20s";
/// The percentages of the highest rate at which latencies are measured.
const LEVELS: [u32; 5] = [25, 50, 75, 100, 150];
const PERCENTILES: [(&str, &str); 3] = [
    ("p50", "median latency"),
    ("p99", "99th percentile of latency"),
    ("p999", "99.9th percentile of latency"),
];

const BEYOND: &str = "beyond";
const INTERVAL: &str = "interval";
/// A rate holds with at most this share of refused requests, and no failed ones.
const MOST_REFUSED: f64 = 0.01;
/// A lane fails with a larger share of failed requests than this.
const MOST_FAILED: f64 = 0.001;

const COLUMNS: [(&str, &[&str]); 12] = [
    ("Highest rate within the limit", &[RATE]),
    ("95% interval", &[INTERVAL]),
    ("p99 at half of it", &["latency_ns_p99"]),
    ("p99 at all of it", &["at_100_ns_p99"]),
    ("CPU time at half of it", &["request_cpu_ns"]),
    ("Threads", &["threads_count"]),
    ("Memory at half of it", &["memory_bytes"]),
    (
        "Memory with idle connections",
        &[
            "idle_memory_bytes",
            "load_idle_count",
            "idle_connection_bytes",
        ],
    ),
    (
        "Right answers at 1.5 times the rate, late ones too",
        &[BEYOND],
    ),
    (
        "Refused + failed at 1.5 times the rate",
        &["beyond_shed_ratio", "beyond_failed_ratio"],
    ),
    ("Time to recover from a surge", &["recovery_ns"]),
    ("Load generator can do, over the rate", &[HEADROOM]),
];

/// The id of this percentile at `percent`% of the highest rate. The plain latencies are those at
/// 50%.
fn figure(percent: u32, percentile: &str) -> String {
    match percent {
        50 => format!("latency_ns_{percentile}"),
        _ => format!("at_{percent}_ns_{percentile}"),
    }
}

/// For each case a table, and a chart for each percentile. Empty for workloads without a search for
/// the highest rate.
pub(super) fn load_section(view: &View<'_>, workload: &Workload) -> Markup {
    let mut cases: BTreeMap<&Case, Vec<&Row>> = BTreeMap::new();
    let is_searched = |row: &&Row| row.quantity.id.starts_with("at_");
    if !view
        .analysis
        .rows_of(&workload.id)
        .any(|row| is_searched(&row))
    {
        return html! {};
    }
    for row in view.analysis.rows_of(&workload.id) {
        cases.entry(&row.case).or_default().push(row);
    }
    html! {
        @for (case, rows) in cases {
            (table(view, workload, case, &rows))
            @for (percentile, title) in PERCENTILES {
                (one(view, workload, case, &rows, percentile, title))
            }
        }
    }
}

fn find<'a>(rows: &[&'a Row], lane: &str, id: &str) -> Option<&'a Row> {
    let is_it = |row: &&&Row| row.lane == lane && row.quantity.id == id;
    rows.iter().find(is_it).copied()
}

fn estimate(rows: &[&Row], lane: &str, id: &str) -> Option<Estimate> {
    find(rows, lane, id)?.estimate
}

/// The behaviour at 1.5 times the highest rate. `p99_ns` is the low end of the p99's interval, or
/// the p99 if it has no interval.
fn beyond(p99_ns: f64, limit_ns: f64, shed: f64, failed: f64) -> &'static str {
    match p99_ns <= limit_ns {
        _ if failed > MOST_FAILED => FAILS,
        true if shed <= MOST_REFUSED && failed == 0.0 => HOLDS,
        true => SHEDS,
        false => LATE,
    }
}

/// This many times the highest rate is offered.
const BEYOND_TIMES: f64 = 1.5;
const HOLDS: &str = "holds";
const SHEDS: &str = "sheds";
const LATE: &str = "is late";
const FAILS: &str = "fails";

/// Shown instead of a percentile that too few requests exceed.
const TOO_FEW: &str = "too few requests";

/// The right answers a second at 1.5 times the highest rate, and the word for the behaviour.
fn beyond_of(case: &Case, rows: &[&Row], lane: &str) -> Option<(f64, &'static str)> {
    let value = |id: &str| Some(estimate(rows, lane, id)?.value);
    let highest = value(RATE)?;
    let [shed, failed] = [value("beyond_shed_ratio")?, value("beyond_failed_ratio")?];
    let rate = highest * BEYOND_TIMES * (1.0 - shed - failed).max(0.0);
    let limit = *case.0.get("limit_ns")?;
    let low = |p99: Estimate| p99.interval.map_or(p99.value, |interval| interval.low);
    let word = match estimate(rows, lane, "at_150_ns_p99").map(low) {
        Some(p99) => beyond(p99, limit as f64, shed, failed),
        None if failed > MOST_FAILED => FAILS,
        None => TOO_FEW,
    };
    Some((rate, word))
}

fn cell(case: &Case, rows: &[&Row], lane: &str, ids: &[&str]) -> Option<String> {
    let value = |id: &str| Some(estimate(rows, lane, id)?.value);
    let plain = |id: &str| Some(Unit::of_name(id).text(value(id)?));
    match ids {
        [BEYOND] => {
            let (rate, word) = beyond_of(case, rows, lane)?;
            let doubt = match value(HEADROOM) {
                Some(headroom) if headroom < BEYOND_TIMES => ", load at its limit",
                _ => "",
            };
            Some(format!("{}, {word}{doubt}", Unit::PerSecond.text(rate)))
        }
        [RATE] => match beyond_of(case, rows, lane) {
            Some((_, HOLDS)) => Some(format!("≥ {}", plain(RATE)?)),
            _ => find(rows, lane, RATE).map(Row::value_text),
        },
        [INTERVAL] => find(rows, lane, RATE).map(Row::interval_text),
        ["recovery_ns"] if value("recovery_ns")? == 0.0 => Some("not disturbed".to_owned()),
        [all, count, each] => Some(format!(
            "{} with {}: {} each",
            plain(all)?,
            plain(count)?,
            plain(each)?
        )),
        [id @ "at_100_ns_p99"] if value(id).is_some() => {
            let interval = find(rows, lane, id)?.interval_text();
            Some(format!("{}, {interval}", plain(id)?))
        }
        [id] if id.ends_with("p99") => plain(id).or(value(RATE).map(|_| TOO_FEW.to_owned())),
        [id] => plain(id),
        ids => {
            let texts: Option<Vec<String>> = ids.iter().map(|id| plain(id)).collect();
            texts.map(|texts| texts.join(" + "))
        }
    }
}

fn lanes<'a>(view: &View<'_>, rows: &[&'a Row]) -> BTreeSet<(usize, &'a str)> {
    rows.iter()
        .filter(|row| row.estimate.is_some())
        .map(|row| (view.lane_index(&row.lane), row.lane.as_str()))
        .collect()
}

fn table(view: &View<'_>, workload: &Workload, case: &Case, rows: &[&Row]) -> Markup {
    let mut lanes: Vec<(usize, &str)> = lanes(view, rows).into_iter().collect();
    if lanes.is_empty() {
        return html! {};
    }
    let rate = |lane: &str| estimate(rows, lane, RATE).map_or(0.0, |one| one.value);
    lanes.sort_by(|(_, a), (_, b)| rate(b).total_cmp(&rate(a)));
    let surge = case.0.get("try_ns").map(|ns| *ns as f64 / 2.0);
    let queue = queue_share(case);
    html! {
        div class="scroll" tabindex="0" role="group" aria-label="What load each lane can carry" {
            table class="offered" data-name=(format!("offered-{}-{case}", workload.id)) {
                caption { "What load each lane can carry, and what it needs for that" }
                thead { tr {
                    th class="words" scope="col" { "Lane" }
                    @for (heading, _) in COLUMNS { th scope="col" { (heading) } }
                } }
                tbody {
                    @for (_, lane) in lanes {
                        tr data-lane=(lane) {
                            th scope="row" { (super::table::lane(view, lane)) }
                            @for (_, ids) in COLUMNS {
                                td { (cell(case, rows, lane, ids).unwrap_or_else(|| "n/a".to_owned())) }
                            }
                        }
                    }
                }
            }
        }
        div class="notes" {
            @if let Some(load) = load(workload, case) { p { b { "The load: " } (load) } }
            p {
                b { "Which lane: " }
                "a lane can carry your load if the low end of its interval"
                @if let Some(share) = queue { ", less " (format::percent(share)) "," }
                " is above it. "
                @if queue.is_some() { "That share is the limit over the limit and the time of a try: requests that are in progress at the end of a try may still be answered after it. " }
                "At the highest rate about half of the tries exceed the limit, so the p99 at all of it, which is of one more try, may be above the limit or below. "
                "The charts show how latency grows on the way to that rate. "
                "Two rates mean that the search ended early: the lane carried the first, and was not shown to carry the second. The interval is over the processes. Lanes whose intervals overlap are not ranked. A second run may differ by as much as the interval."
            }
            p {
                b { "What it needs: " }
                "the CPU time for each request is taken at half of the highest rate. Near the highest rate a request usually takes less. Memory and threads are those of the service at half of the highest rate, with its connections open. "
                "Idle connections are additional. For another number of them, add or subtract the memory of each. Memory is anonymous memory, page tables and kernel stacks of the service. A p99 needs 300 requests in a try."
            }
            p {
                b { "Beyond the knee: " }
                "at 1.5 times the rate a lane " b { (FAILS) } " if more than 0.1% of the requests fail: a wrong answer, none within the time, a closed connection. It " b { (LATE) } " if the whole interval of its p99 is above the limit. "
                "It " b { (SHEDS) } " if more than 1% is refused, or any request fails. Else it " b { (HOLDS) } ": then its highest rate was not found, and is marked ≥. Latency counts from the time at which a request is due. "
                i { "Load at its limit" } ": the load generator cannot do 1.5 times the rate, so some of the lateness, refusals and failures may be its own, and so may those of the surge."
                @if let Some(ns) = surge { " The surge is twice the highest rate, for " (Unit::Nanoseconds.text(ns)) "; the time to recover runs from its end to the last request that was late, refused or failed." }
            }
            p {
                b { "How sure: " }
                "the last column is how many times the highest rate the load generator can do, or the CPU of the backend, or the connections to it, where that is less. Below " (format::times(LEAST_HEADROOM)) " they may be the limit, and the rate is marked "
                i { "at least" } ". The top of the page lists the disturbances of the run."
            }
            p {
                b { "For a load unlike this one: " }
                "the rate times the CPU time of a request must be well below the CPUs of the service, in each lane: 500 requests a second of 2 ms take one whole CPU. "
                code { (OTHER_LOAD) }
                " has 5,000 connections, 2 ms of CPU time and 30 ms of waiting for each request. "
                "The limit is above the waiting, and 1,000 requests may be under way, on 1,000 connections to the backend: 64 connections that wait for 30 ms each carry 2,100 a second at most. "
                "A PostgreSQL as the backend: " code { "--service postgresql://user:password@host/database" } ". "
                "Two hosts are measured by " code { "threadbare serve" } " on one and " code { "threadbare load" } " on the other; each explains itself by " code { "--help" } "."
            }
        }
    }
}

/// The largest share by which a highest rate may exceed a lasting load: requests in progress at the
/// end of a try have waited for at most the limit.
fn queue_share(case: &Case) -> Option<f64> {
    let [limit, time] = ["limit_ns", "try_ns"].map(|name| case.0.get(name).copied());
    let (limit, time) = (limit? as f64, time? as f64);
    Some(limit / (limit + time))
}

/// The load in words; `None` if the file does not have it.
fn load(workload: &Workload, case: &Case) -> Option<String> {
    let value = |name: &str| case.0.get(name).copied();
    let time = |name: &str| Some(Unit::Nanoseconds.text(value(name)? as f64));
    let count = |name: &str| value(name).map(format::count);
    let backend = value("backend")?;
    let takes = match backend {
        0 => format!(
            ", which takes {} and up to {} more for an answer, and {} on the slow route (1 request of 200)",
            time("delay_ns")?,
            time("spread_ns")?,
            time("slow_ns")?
        ),
        _ => String::new(),
    };
    Some(format!(
        "{} connections, each with one request at a time. The backend is {}{takes}. The service has {} connections to it and {} requests under way at most, and refuses one more. The limit is a p99 of {}, without the slow route. The service has two fifths of the run’s CPUs, or one of two.",
        count("connections_count")?,
        workload
            .words_of_code("backend", backend)
            .unwrap_or("unknown"),
        count("pool_count")?,
        count("in_flight_count")?,
        time("limit_ns")?
    ))
}

fn one(
    view: &View<'_>,
    workload: &Workload,
    case: &Case,
    rows: &[&Row],
    percentile: &str,
    what: &str,
) -> Markup {
    let estimate = |lane, id: &str| estimate(rows, lane, id);
    let lines: Vec<Line> = lanes(view, rows)
        .into_iter()
        .filter_map(|(index, lane)| {
            let highest = estimate(lane, RATE)?.value;
            let points = LEVELS.iter().filter_map(|&percent| {
                let latency = estimate(lane, &figure(percent, percentile))?;
                let rate = highest * f64::from(percent) / 100.0;
                (latency.value > 0.0).then_some((rate, latency.value, latency.interval))
            });
            Some(Line {
                label: lane.to_owned(),
                lane: index,
                points: points.collect(),
                fitted: Vec::new(),
            })
        })
        .filter(|line| line.points.len() > 1)
        .collect();
    if lines.is_empty() {
        return html! {};
    }
    let extra = view.case_text(&workload.id, case);
    let comma = if extra.is_empty() { "" } else { " · " };
    let title = format!(
        "{} over the requests a second that were offered, at 25, 50, 75, 100 and 150% of each lane’s highest rate{comma}{extra}",
        capital(what)
    );
    let limit = case.0.get("limit_ns").filter(|_| percentile == "p99");
    let name = format!("offered-{}-{percentile}-{case}", workload.id);
    let chart = Curves {
        lines: &lines,
        x_title: "requests offered a second",
        y_title: what,
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        x_unit: Unit::PerSecond,
        y_unit: Unit::Nanoseconds,
        x_ticks: None,
        ideal: limit.map(|ns| Ideal::Limit(*ns as f64)),
        breaks: &[],
        marks: true,
    };
    curves_of_lanes(view, name, title, &chart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_its_highest_rate_a_lane_holds_sheds_is_late_or_fails() {
        assert_eq!(beyond(15.0, 20.0, 0.01, 0.0), HOLDS);
        assert_eq!(beyond(15.0, 20.0, 0.0, 0.0005), SHEDS);
        assert_eq!(beyond(15.0, 20.0, 0.0, 0.002), FAILS);
        assert_eq!(beyond(15.0, 20.0, 0.2, 0.0), SHEDS);
        assert_eq!(beyond(21.0, 20.0, 0.2, 0.0), LATE);
        assert_eq!(beyond(21.0, 20.0, 0.2, 0.2), FAILS);
    }

    #[test]
    fn share_added_by_the_end_of_a_try_is_limit_over_limit_and_duration() {
        let case = |parameters: &[(&str, u64)]| {
            let parameters = parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value));
            Case(parameters.collect())
        };
        let limit = ("limit_ns", 20_000_000);
        assert_eq!(
            queue_share(&case(&[limit, ("try_ns", 60_000_000)])),
            Some(0.25)
        );
        assert_eq!(queue_share(&case(&[limit])), None);
    }
}
