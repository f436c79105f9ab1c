//! The capacity planner: what so many tasks would need on this host, from
//! the measured constants, with the formula in sight.
//!
//! With N tasks that each wait W and compute C in turn, a lane whose task
//! costs M bytes and whose switch costs S needs
//!
//! * memory = N · M
//! * cores = N · (C + S) / (W + C)
//!
//! and with c cores, used to ρ = cores / c, a task that becomes ready waits
//! about (C + S) · ρ^(√(2(c+1)) − 1) / (c · (1 − ρ)) for its turn
//! (Sakasegawa's approximation of M/M/c, 1977).

use maud::{Markup, html};
use serde_json::{Value, json};

use super::table;
use super::view::{Section, View};
use crate::format;
use crate::schema::Role;

/// What the planner knows of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Constants {
    memory_bytes: Option<f64>,
    switch_ns: Option<f64>,
    /// The fewest tasks that could not be started, and the most that ran.
    limit: Option<(u64, Option<u64>)>,
}

/// What is asked of it.
#[derive(Clone, Copy, Debug)]
struct Demand {
    tasks: f64,
    wait_ns: f64,
    compute_ns: f64,
}

/// The examples that the page shows without JavaScript.
const EXAMPLES: [Demand; 3] = [
    Demand {
        tasks: 1_000.0,
        wait_ns: 100e6,
        compute_ns: 50e3,
    },
    Demand {
        tasks: 10_000.0,
        wait_ns: 100e6,
        compute_ns: 10e3,
    },
    Demand {
        tasks: 100_000.0,
        wait_ns: 10e9,
        compute_ns: 100e3,
    },
];

/// What a demand needs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Need {
    memory_bytes: Option<f64>,
    cores: Option<f64>,
    delay_ns: Option<f64>,
}

fn need(constants: Constants, demand: Demand, cores: f64) -> Need {
    let used = constants.switch_ns.map(|switch| {
        demand.tasks * (demand.compute_ns + switch) / (demand.wait_ns + demand.compute_ns)
    });
    let delay = used.zip(constants.switch_ns).and_then(|(used, switch)| {
        let load = used / cores;
        (load < 1.0).then(|| {
            let power = (2.0 * (cores + 1.0)).sqrt() - 1.0;
            let open = (demand.compute_ns + switch) * load.powf(power) / (cores * (1.0 - load));
            // No more tasks can stand in line than there are.
            let longest = (demand.tasks - cores).max(0.0) * (demand.compute_ns + switch) / cores;
            open.min(longest)
        })
    });
    Need {
        memory_bytes: constants.memory_bytes.map(|bytes| bytes * demand.tasks),
        cores: used,
        delay_ns: delay,
    }
}

/// Each lane's constants: the memory of a task that waits, and half a round
/// trip as a switch.
fn constants(view: &View<'_>) -> Vec<(String, Constants)> {
    let memory = view.with_role(Role::WaitingMemory).next();
    let is_memory = |id: &str| memory.is_some_and(|workload| workload.id == id);
    let lanes = view.run.header.lanes.iter();
    lanes
        .map(|lane| {
            let ledger = view.analysis.ledgers.iter();
            let memory = ledger
                .filter(|row| is_memory(&row.workload) && row.lane == lane.name)
                .map(|row| row.ledger.sum.value)
                .find(|bytes| *bytes > 0.0);
            let switch = view
                .with_role(Role::RoundTrip)
                .next()
                .and_then(|workload| view.main_case(workload))
                .and_then(|(_, rows)| rows.into_iter().find(|row| row.lane == lane.name)?.estimate)
                .map(|estimate| estimate.value / 2.0);
            // A count that failed is where the lane ends on this host.
            let limit = view
                .run
                .failures
                .iter()
                .filter(|failure| {
                    failure.lane == lane.name && failure.kind == crate::schema::FailureKind::Limit
                })
                .filter_map(|failure| failure.parameters.get("tasks_count").copied())
                .min();
            (
                lane.name.clone(),
                Constants {
                    memory_bytes: memory,
                    switch_ns: switch,
                    limit: limit.map(|failed| (failed, reached(view, &lane.name, failed))),
                },
            )
        })
        .filter(|(_, constants)| constants.memory_bytes.is_some() || constants.switch_ns.is_some())
        .collect()
}

/// The section.
pub(super) fn section(view: &View<'_>) -> Option<Section> {
    let known = constants(view);
    if known.is_empty() {
        return None;
    }
    let cores = cores(view);
    let lead = html! { "What each lane would need on this host for N tasks that take turns: each waits, computes, and begins again. One wait and one computation are a turn." };
    let body = html! {
        div class="sheet" {
            div class="planner" {
                label { "Tasks at once" input id="plan-tasks" type="number" min="1" value="10000"; }
                label { "Each waits (ms)" input id="plan-wait" type="number" min="0" step="any" value="100"; }
                label { "Then computes (µs)" input id="plan-compute" type="number" min="0" step="any" value="10"; }
                label { "On cores" input id="plan-cores" type="number" min="1" value=(cores); }
            }
            div class="scroll" tabindex="0" role="group" aria-label="Plan" {
                table id="plan" data-name="plan" {
                    caption { "What each lane needs" }
                    thead { tr {
                        th class="words" scope="col" { "Lane" } th scope="col" { "Memory" } th scope="col" { "Cores in use" }
                        th scope="col" { "Wait for a CPU" } th class="words" scope="col" { "Remark" }
                    } }
                    @for demand in EXAMPLES {
                        tbody {
                            tr class="case" { th colspan="5" scope="rowgroup" {
                                (format::count(demand.tasks as u64)) " tasks, each waits " (format::nanoseconds(demand.wait_ns))
                                " and computes " (format::nanoseconds(demand.compute_ns)) ", on " (cores) " cores"
                            } }
                            @for (lane, constants) in &known {
                                (line(view, lane, *constants, demand, cores as f64))
                            }
                        }
                    }
                }
            }
            div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
            div class="notes" {
                p {
                    b { "Formula: " } "memory = N · M; cores = N · (C + S) ÷ (W + C); with c cores used to ρ = cores ÷ c, the wait for a CPU is about "
                    "(C + S) · ρ^(√(2(c+1)) − 1) ÷ (c · (1 − ρ)) (Sakasegawa). M is the memory of a waiting task, S half a round trip between two tasks; W and C are yours."
                }
                p {
                    b { "Limits: " } "memory that your tasks allocate, cache misses, locks and I/O are not included; tasks are assumed to become ready at random and independently; S was measured on an idle machine. "
                    "The result is an order of magnitude: measure your program before you buy hardware."
                }
            }
        }
    };
    Some(Section {
        title: "Capacity planner",
        lead,
        body,
    })
}

/// The most tasks of the lane that ran, below the count that failed.
fn reached(view: &View<'_>, lane: &str, failed: u64) -> Option<u64> {
    let groups = view.run.groups.iter().filter(|group| group.lane == lane);
    let counts = groups.filter_map(|group| group.parameters.get("tasks_count").copied());
    counts.filter(|count| *count < failed).max()
}

/// What stands in the way of the demand on this host; empty for nothing.
fn remark(constants: Constants, demand: Demand, need: Need, cores: f64, host_bytes: u64) -> String {
    if let Some((failed, reached)) = constants.limit
        && demand.tasks >= failed as f64
    {
        let failed = format::count(failed);
        return match reached {
            Some(reached) => format!(
                "{} tasks ran here, {failed} could not be started",
                format::count(reached)
            ),
            None => format!("{failed} tasks could not be started here"),
        };
    }
    if let Some(bytes) = need.memory_bytes
        && host_bytes > 0
        && bytes > host_bytes as f64
    {
        let host = format::bytes(host_bytes as f64);
        return format!("needs {} of memory, you have {host}", format::bytes(bytes));
    }
    match need.cores {
        Some(used) if used >= cores => format!(
            "needs {} cores, you have {cores:.0}: at most {} turns a second",
            format::number(used),
            format::count(most_per_second(constants, demand, cores))
        ),
        _ => String::new(),
    }
}

/// How many turns of these tasks the cores can take in a second.
fn most_per_second(constants: Constants, demand: Demand, cores: f64) -> u64 {
    let turn_ns = demand.compute_ns + constants.switch_ns.unwrap_or(0.0);
    (cores * 1e9 / turn_ns.max(1.0)) as u64
}

fn cores(view: &View<'_>) -> usize {
    match view.run.header.design.cpus.len() {
        0 => view.run.header.host.machine.threads_count.max(1) as usize,
        count => count,
    }
}

fn line(view: &View<'_>, lane: &str, constants: Constants, demand: Demand, cores: f64) -> Markup {
    let need = need(constants, demand, cores);
    let remark = remark(
        constants,
        demand,
        need,
        cores,
        view.run.header.host.memory_bytes,
    );
    let or_not = |text: Option<String>| text.unwrap_or_else(|| "n/a".to_owned());
    html! {
        tr data-lane=(lane) {
            th scope="row" { (table::lane(view, lane)) }
            td { (or_not(need.memory_bytes.map(format::bytes))) }
            td { (or_not(need.cores.map(format::number))) }
            td { (or_not(need.delay_ns.map(format::nanoseconds))) }
            td class={"words " (if remark.is_empty() { "" } else { "bad" })} { (remark) }
        }
    }
}

/// What the script works on: the planner's constants.
pub(super) fn data(view: &View<'_>) -> Value {
    let lanes: Vec<Value> = constants(view)
        .into_iter()
        .map(|(lane, constants)| {
            json!({
                "lane": lane,
                "swatch": view.swatch(&lane),
                "memory_bytes": constants.memory_bytes,
                "switch_ns": constants.switch_ns,
                "limit": constants.limit.map(|(failed, _)| failed),
                "reached": constants.limit.and_then(|(_, reached)| reached),
            })
        })
        .collect();
    json!({ "memory_bytes": view.run.header.host.memory_bytes, "planner": lanes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn need_follows_the_formula() {
        let constants = Constants {
            memory_bytes: Some(2_000.0),
            switch_ns: Some(100.0),
            limit: None,
        };
        let demand = Demand {
            tasks: 1_000.0,
            wait_ns: 99_000.0,
            compute_ns: 1_000.0,
        };
        let need = need(constants, demand, 22.0);
        assert_eq!(need.memory_bytes, Some(2e6));
        assert!((need.cores.expect("a switch is known") - 11.0).abs() < 1e-9);
        assert!(need.delay_ns.expect("half loaded") < 10.0);
    }

    #[test]
    fn remark_names_what_is_missing_and_how_far_it_goes() {
        let constants = Constants {
            memory_bytes: Some(4_000.0),
            switch_ns: Some(1_000.0),
            limit: Some((1_000_000, Some(15_358))),
        };
        let demand = Demand {
            tasks: 10_000.0,
            wait_ns: 0.0,
            compute_ns: 1e6,
        };
        let said = |demand, cores, host_bytes| {
            remark(
                constants,
                demand,
                need(constants, demand, cores),
                cores,
                host_bytes,
            )
        };
        assert_eq!(
            said(
                Demand {
                    tasks: 1e6,
                    ..demand
                },
                2.0,
                1 << 40
            ),
            "15,358 tasks ran here, 1,000,000 could not be started"
        );
        assert_eq!(
            said(demand, 2.0, 10_000_000),
            "needs 40.0\u{a0}MB of memory, you have 10.0\u{a0}MB"
        );
        assert_eq!(
            said(demand, 2.0, 1 << 40),
            "needs 10,000 cores, you have 2: at most 1,998 turns a second"
        );
        let light = Demand {
            tasks: 1.0,
            wait_ns: 1e9,
            ..demand
        };
        assert_eq!(said(light, 2.0, 1 << 40), "");
    }

    #[test]
    fn queue_is_never_longer_than_there_are_tasks() {
        let constants = Constants {
            memory_bytes: None,
            switch_ns: Some(0.0),
            limit: None,
        };
        let delay = |tasks, compute_ns| {
            let wait_ns = 10.0;
            let demand = Demand {
                tasks,
                wait_ns,
                compute_ns,
            };
            need(constants, demand, 2.0).delay_ns.expect("no overload")
        };
        assert_eq!(delay(2.0, 1e6), 0.0, "a core each");
        // Nearly full: by the formula alone it is without bound.
        assert_eq!(delay(3.0, 19.999), 19.999 / 2.0);
    }

    #[test]
    fn overload_has_no_delay_to_name() {
        let constants = Constants {
            memory_bytes: None,
            switch_ns: Some(0.0),
            limit: None,
        };
        let demand = Demand {
            tasks: 10.0,
            wait_ns: 0.0,
            compute_ns: 1.0,
        };
        assert_eq!(need(constants, demand, 2.0).delay_ns, None);
    }
}
