//! What the page opens with: the verdicts in plain words, then all ratios at
//! a glance.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::view::{View, capital, effect, effect_interval, factor, processes, tone};
use crate::analysis::{Row, is_ours};
use crate::format;
use crate::schema::{Depth, FirstQuestion, Lane};
use crate::stats::Verdict;
use crate::stats::geometric::means_over_intersection;

/// How many statements are on cards.
const CARDS: usize = 8;

/// The top of the page.
pub(super) fn hero(view: &View<'_>) -> Markup {
    let statements = statements(view);
    let header = &view.run.header;
    let machine = &header.host.machine;
    html! {
        header class="hero" id="top" {
            div class="wrap" {
                p class="eyebrow" { "threadbare · the same work by each model of concurrency, in fresh processes, on one machine" }
                h1 {
                    @match opening(&statements) {
                        Some(row) => (headline(view, row)),
                        None => "No two lanes were measured on the same workload",
                    }
                }
                p class="host" {
                    @if !header.host.name.is_empty() { (header.host.name) " · " }
                    (machine.cpu_model) " · "
                    (machine.cores_count) " cores, " (machine.threads_count) " threads"
                    @if !machine.hypervisor.is_empty() && machine.hypervisor != "none" {
                        " · virtual (" (machine.hypervisor) ")"
                    }
                    " · " (header.host.operating_system) " · " (day(&header.started))
                }
                div class="badges" {
                    @match header.design.depth {
                        Depth::Quick => { span class="badge warn" { "quick run: a look, not a proof" } }
                        Depth::Standard => { span class="badge" { "standard run" } }
                        Depth::Full => { span class="badge" { "full run" } }
                    }
                    span class="badge" { (processes(&header.design)) }
                    span class="badge" { (format::count(view.run.samples_count() as u64)) " samples" }
                    @match view.analysis.noise.typical() {
                        Some(noise) => { a class="badge" href="#trust" { "equals differ by " (format::percent(noise)) } }
                        None => { span class="badge warn" { "no lane was set against itself" } }
                    }
                    @if !view.run.taints.is_empty() {
                        a class="badge warn" href="#trust" { (taints(view.run.taints.len())) }
                    }
                    @if !view.run.is_complete() {
                        span class="badge warn" { "cut short: what was measured is shown" }
                    }
                }
                (contestants(view, &statements))
                ul class="cards" {
                    @for row in statements.iter().take(CARDS) { (card(view, row)) }
                }
            }
        }
    }
}

/// How often something spoke against the figures, in words.
fn taints(count: usize) -> String {
    match count {
        1 => "1 taint: a reason to doubt".to_owned(),
        _ => format!("{} taints: reasons to doubt", format::count(count as u64)),
    }
}

/// Who is set against whom on the cards, and whose the contestants are.
fn contestants(view: &View<'_>, statements: &[&Row]) -> Markup {
    let reference = &view.analysis.reference_lane;
    let Some(subject) = statements.first().map(|row| &row.lane) else {
        return html! {};
    };
    let is = |lane: &str| {
        let remark = view.run.lane(lane).map(|lane| lane.remark.as_str());
        match remark {
            None | Some("") => String::new(),
            Some(remark) => format!(" ({remark})"),
        }
    };
    let ours = [subject, reference].into_iter().find(|lane| is_ours(lane));
    html! {
        p class="lead versus" {
            "The cards set " b { (view.a_task(subject)) } (is(subject)) " against " b { (view.a_task(reference)) } (is(reference))
            ": “slower” or “smaller” is said of the " (view.noun(subject)) ". "
            @if let Some(ours) = ours {
                "The authors of this suite wrote the " (view.noun(ours)) " too; BIAS.md says how that was handled."
            }
        }
    }
}

/// The day of an RFC 3339 time.
fn day(time: &str) -> &str {
    time.split_once('T').map_or(time, |(day, _)| day)
}

/// The first lane against the reference on one case of each workload.
fn statements<'a>(view: &View<'a>) -> Vec<&'a Row> {
    let reference = view.analysis.reference_lane.as_str();
    let compared = |lane: &&Lane| {
        let has = |row: &Row| row.lane == lane.name && row.standing.is_some();
        lane.name != reference && view.analysis.rows.iter().any(has)
    };
    let lanes = || view.run.header.lanes.iter().filter(compared);
    // A variant of the reference says little: another model first.
    let other = lanes().find(|lane| lane.variant_of.as_deref() != Some(reference));
    let Some(subject) = other.or_else(|| lanes().next()) else {
        return Vec::new();
    };
    let mut workloads: Vec<_> = view.run.header.workloads.iter().collect();
    workloads.sort_by_key(|workload| {
        let place = workload.first_screen;
        place.map_or((u32::MAX, FirstQuestion::Unknown), |place| {
            (place.rank, place.question)
        })
    });
    let row_of = |workload| {
        let (_, rows) = view.main_case(workload)?;
        rows.into_iter()
            .find(|row| row.lane == subject.name && row.standing.is_some())
    };
    workloads.into_iter().filter_map(row_of).collect()
}

/// The statement for the headline: the first that says how far apart the two
/// are, else the first that says that they are the same.
fn opening<'a>(statements: &[&'a Row]) -> Option<&'a Row> {
    let ruled = |verdicts: &[Verdict]| {
        let has = |row: &&&Row| {
            let standing = row.standing.as_ref();
            standing.is_some_and(|standing| verdicts.contains(&standing.verdict))
        };
        statements.iter().find(has).copied()
    };
    ruled(&[Verdict::Faster, Verdict::Slower])
        .or_else(|| ruled(&[Verdict::Same]))
        .or_else(|| statements.first().copied())
}

/// One sentence, the verdict in it marked.
fn headline(view: &View<'_>, row: &Row) -> Markup {
    let (subject, reference) = (
        view.a_task(&row.lane),
        view.a_task(&view.analysis.reference_lane),
    );
    let activity = activity(view, row);
    html! {
        "On this host, " (activity) " "
        @match effect(row) {
            Some((words, Verdict::Faster | Verdict::Slower)) => {
                "is " b { (words) } " with " (subject) " than with " (reference) "."
            }
            Some((_, Verdict::Same)) => {
                "costs " (subject) " and " (reference) " " b { "the same" } "."
            }
            _ => {
                "with " (subject) " or with " (reference) ": " b { "these figures do not settle it" } "."
            }
        }
    }
}

fn activity(view: &View<'_>, row: &Row) -> String {
    match view.run.workload(&row.workload) {
        Some(workload) if !workload.activity.is_empty() => workload.activity.clone(),
        Some(workload) if !workload.title.is_empty() => format!("“{}”", workload.title),
        _ => row.workload.clone(),
    }
}

fn card(view: &View<'_>, row: &Row) -> Markup {
    let Some((words, verdict)) = effect(row) else {
        return html! {};
    };
    let reference = view.analysis.rows.iter().find(|other| {
        other.lane == view.analysis.reference_lane
            && other.workload == row.workload
            && other.case == row.case
            && other.quantity == row.quantity
    });
    let case = view.case_text(&row.workload, &row.case);
    html! {
        li class="card" {
            span class="what" {
                (capital(&activity(view, row)))
                @if !case.is_empty() { " · " (case) }
            }
            span class={"big " (tone(verdict))} { (words) }
            span class="pair" {
                span { (view.noun(&row.lane)) " " b { (row.value_text()) } }
                @if let Some(reference) = reference {
                    span { (view.noun(&reference.lane)) " " b { (reference.value_text()) } }
                }
            }
            span class="fine" { (effect_interval(row)) (why_open(row)) }
        }
    }
}

/// Why an interval that excludes equality makes no verdict yet; empty where
/// that is not so.
fn why_open(row: &Row) -> String {
    let Some(standing) = &row.standing else {
        return String::new();
    };
    let Some(interval) = standing.ratio.interval else {
        return String::new();
    };
    if standing.verdict != Verdict::CannotTell || interval.contains(1.0) {
        return String::new();
    }
    let bound = standing.bound.effect();
    if standing.ratio.value.ln().abs() <= bound.ln_1p() {
        return format!("; equals are up to {} apart here", format::percent(bound));
    }
    "; among so many comparisons some look so by chance".to_owned()
}

/// All ratios at a glance.
pub(super) fn section(view: &View<'_>) -> Option<Markup> {
    let lanes: Vec<&str> = view
        .run
        .header
        .lanes
        .iter()
        .map(|lane| lane.name.as_str())
        .filter(|lane| {
            view.analysis
                .rows
                .iter()
                .any(|row| row.lane == *lane && row.estimate.is_some())
        })
        .collect();
    if lanes.len() < 2 {
        return None;
    }
    let reference = &view.analysis.reference_lane;
    Some(html! {
        h2 { "All verdicts at a glance" }
        p class="lead" {
            "Each cell sets a lane against " b { (view.noun(reference)) "s" } ": ▲ better by that factor, ▼ worse, ≈ the same, ? the figures do not settle it. "
            "A verdict needs an interval that excludes equality, an effect above " (format::percent(view.analysis.threshold_ratio))
            ", and survives the correction for the many comparisons of this page."
        }
        (filters(&lanes))
        div class="sheet" {
            div class="scroll" tabindex="0" role="group" aria-label="All ratios" {
                table class="heat" data-name="verdicts" {
                    caption { "Ratios to the lane “" (reference) "”" }
                    thead {
                        tr {
                            th class="words" { "Workload" }
                            @for lane in &lanes { th scope="col" data-lane=(lane) { (lane) } }
                        }
                    }
                    tbody {
                        @for workload in &view.run.header.workloads {
                            @for (place, (case, rows)) in glance_rows(view, workload).into_iter().enumerate() {
                                tr data-workload=(workload.id) {
                                    @if place == 0 {
                                        th scope="row" {
                                            a href={"#q-" (workload.id)} { (workload.title) }
                                            @if !case.is_empty() { small { (case) } }
                                        }
                                    } @else {
                                        th class="again" scope="row" { (case) }
                                    }
                                    @for lane in &lanes {
                                        (glance(rows.iter().find(|row| row.lane == *lane).copied(), lane, reference))
                                    }
                                }
                            }
                        }
                    }
                    (mean_row(view, &lanes))
                }
            }
        }
    })
}

/// The cases of a workload in the glance: the main case alone, and for a
/// sweep its two ends.
fn glance_rows<'a>(
    view: &View<'a>,
    workload: &crate::schema::Workload,
) -> Vec<(String, Vec<&'a Row>)> {
    let cases: Vec<_> = view.first_rows(workload).into_iter().collect();
    let several = cases.len() > 1;
    let axis = View::counted_axis(workload, cases.iter().map(|(case, _)| *case));
    let picked: Vec<_> = match (axis, cases.len()) {
        (Some(_), 3..) => {
            let last = cases.len() - 1;
            cases
                .into_iter()
                .enumerate()
                .filter(|(i, _)| *i == 0 || *i == last)
                .map(|(_, c)| c)
                .collect()
        }
        _ => cases.into_iter().take(6).collect(),
    };
    picked
        .into_iter()
        .map(|(case, rows)| {
            let text = if several {
                view.case_text(&workload.id, case)
            } else {
                String::new()
            };
            (text, rows)
        })
        .collect()
}

fn glance(row: Option<&Row>, lane: &str, reference: &str) -> Markup {
    let Some(row) = row else {
        return html! { td class="none" data-lane=(lane) { "–" } };
    };
    if lane == reference {
        return html! { td class="none" data-lane=(lane) { (row.value_text()) } };
    }
    let Some(standing) = &row.standing else {
        return html! { td class="none" data-lane=(lane) { (row.value_text()) } };
    };
    let turned = row.quantity.turned(standing.ratio).value;
    let (class, text) = match standing.verdict {
        Verdict::Faster => (
            format!("b{}", shade(1.0 / turned)),
            format!("▲ {}", factor(1.0 / turned)),
        ),
        Verdict::Slower => (
            format!("w{}", shade(turned)),
            format!("▼ {}", factor(turned)),
        ),
        Verdict::Same => ("open".to_owned(), "≈".to_owned()),
        Verdict::CannotTell => ("open".to_owned(), "?".to_owned()),
    };
    let title = format!(
        "{}: {}, {}",
        row.lane,
        row.value_text(),
        effect_interval(row)
    );
    html! { td class=(class) data-lane=(lane) title=(title) { (text) } }
}

/// Four shades: up to 1.5, 4, 20 and beyond.
pub(super) fn shade(factor: f64) -> u8 {
    match factor {
        ..1.5 => 1,
        ..4.0 => 2,
        ..20.0 => 3,
        _ => 4,
    }
}

/// The geometric mean of the time ratios, over the cells that all lanes have.
fn mean_row(view: &View<'_>, lanes: &[&str]) -> Markup {
    let sides: Vec<BTreeMap<_, f64>> = lanes
        .iter()
        .map(|lane| {
            let rows = view
                .analysis
                .rows
                .iter()
                .filter(|row| row.lane == *lane && row.quantity.rank == 0);
            rows.filter_map(|row| Some(((&row.workload, &row.case), row.estimate?.value)))
                .collect()
        })
        .collect();
    let reference = lanes
        .iter()
        .position(|lane| *lane == view.analysis.reference_lane);
    let (Some((means, count)), Some(reference)) = (means_over_intersection(&sides), reference)
    else {
        return html! {};
    };
    html! {
        tfoot {
            tr {
                th scope="row" {
                    "Geometric mean" small { "over the " (count) " cases that every lane has" }
                }
                @for (lane, mean) in lanes.iter().zip(&means) {
                    @let ratio = mean / means[reference];
                    @if *lane == view.analysis.reference_lane {
                        td class="none" data-lane=(lane) { "1" }
                    } @else if ratio < 1.0 {
                        td class={"b" (shade(1.0 / ratio))} data-lane=(lane) { "▲ " (factor(1.0 / ratio)) }
                    } @else {
                        td class={"w" (shade(ratio))} data-lane=(lane) { "▼ " (factor(ratio)) }
                    }
                }
            }
        }
    }
}

/// The controls that hide lanes and workloads; the state is in the URL.
fn filters(lanes: &[&str]) -> Markup {
    html! {
        div class="filters" role="group" aria-label="Filters" {
            label { "Find " input id="find" type="search" placeholder="spawn, memory, …" title="Find a workload (/)"; }
            @for lane in lanes {
                label { input type="checkbox" checked data-filter=(lane); (lane) }
            }
            button id="reset" type="button" { "Show all" }
        }
    }
}
