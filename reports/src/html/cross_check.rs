//! Another tool's figures beside ours, for the same operation, lane and number of workers.

use maud::{Markup, html};

use super::view::View;
use crate::analysis::{Case, Row, Unit};
use crate::format;
use crate::schema::CrossCheck;

const WORKERS: &str = "workers_count";

pub(super) fn sheet(view: &View<'_>) -> Markup {
    let checks = &view.run.cross_checks;
    if checks.is_empty() {
        return html! {};
    }
    let time = |value| Unit::Nanoseconds.text(value);
    html! {
        div class="sheet" {
            h3 { "The same operations measured by another tool" }
            p class="lead" { "The other tool takes all samples one after the other in one process; this run takes them in many fresh processes, in random order. Where the two intervals do not overlap, the figure depends on the process." }
            div class="scroll" tabindex="0" role="group" aria-label="Cross-checks" {
                table data-name="cross-checks" {
                    thead { tr {
                        th class="words" scope="col" { "Benchmark" } th scope="col" { "Its figure" } th scope="col" { "95% interval" }
                        th scope="col" { "Ours" } th scope="col" { "95% interval" } th class="words" scope="col" { "Agreement" }
                    } }
                    tbody {
                        @for check in checks {
                            tr data-lane=(check.lane) {
                                th scope="row" { (check.source) " " (check.name) }
                                td { (time(check.value_ns)) }
                                td class="open" { (format::range(&time(check.low_ns), &time(check.high_ns))) }
                                (ours(view, check))
                            }
                        }
                    }
                }
            }
            div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        }
    }
}

fn ours(view: &View<'_>, check: &CrossCheck) -> Markup {
    let found = counterpart(view, check).and_then(|row| Some((row, row.estimate?)));
    let Some((row, estimate)) = found else {
        let workers = match check.workers_count {
            Some(1) => " on 1 worker".to_owned(),
            Some(count) => format!(" on {count} workers"),
            None => String::new(),
        };
        return html! {
            td class="none" { "n/a" }
            td class="none" {}
            td class="wrapped open" { "not in this run: " (check.workload) " on " (check.lane) (workers) }
        };
    };
    let apart = |ours: crate::stats::Interval| ours.high < check.low_ns || check.high_ns < ours.low;
    html! {
        td { (row.value_text()) }
        td class="open" { (row.interval_text()) }
        @match estimate.interval.map(apart) {
            Some(true) => td class="words bad" { (disagreement(check, estimate.value)) },
            Some(false) => td class="words open" { "they agree" },
            None => td class="words open" { "no interval" },
        }
    }
}

fn disagreement(check: &CrossCheck, ours: f64) -> String {
    let (ratio, source) = (check.value_ns / ours, &check.source);
    match ratio < 1.0 {
        true => format!("{source}’s is {} lower", format::percent(1.0 - ratio)),
        false if ratio < 2.0 => format!("{source}’s is {} higher", format::percent(ratio - 1.0)),
        false => format!("{source}’s is {} as high", format::times(ratio)),
    }
}

fn counterpart<'a>(view: &View<'a>, check: &CrossCheck) -> Option<&'a Row> {
    let is_it = |row: &&Row| row.lane == check.lane && row.quantity.unit == Unit::Nanoseconds;
    let all = view.run.header.design.cpus.len() as u64;
    let workers = check.workers_count.unwrap_or(all);
    let has = |case: &Case, name: &str, value| case.0.get(name) == Some(&value);
    if workers == all || all == 0 {
        let (_, rows) = view.main_case(view.run.workload(&check.workload)?)?;
        return rows.into_iter().find(is_it);
    }
    let workloads = view.run.header.workloads.iter();
    let (swept, same_as) = workloads
        .filter_map(|workload| Some((workload, workload.same_as.as_ref()?)))
        .find(|(_, same_as)| same_as.workload == check.workload)?;
    let rows = view.first_rows(swept);
    let same = |case: &Case| {
        let mut values = same_as.parameters.iter();
        has(case, WORKERS, workers) && values.all(|(name, value)| has(case, name, *value))
    };
    let mut rows = rows.into_iter().filter(|(case, _)| same(case));
    rows.find_map(|(_, rows)| rows.into_iter().find(is_it))
}
