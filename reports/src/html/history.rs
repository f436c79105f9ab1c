//! The page of a machine over time: its changes, the steps, and the curves.

use maud::{Markup, PreEscaped, html};

use super::shell;
use super::view::{View, capital, factor};
use crate::analysis::Unit;
use crate::format;
use crate::history::{FEWEST_RUNS, History, Moment, Series, Step};
use crate::machine;
use crate::plot::{Caption, Curves, Line, Scale, curves, narrow_curves};
use crate::site::{Place, Titled};

/// Histories as one HTML document.
#[must_use]
pub fn render_history(histories: &[History<'_>]) -> String {
    let title = match histories {
        [one] => format!("{} over time", machine::cpu(&one.machine.inputs)),
        _ => format!("{} machines over time", histories.len()),
    };
    let body = html! {
        header class="hero" id="top" {
            div class="wrap" {
                p class="eyebrow" { "threadbare · kept runs of one machine" }
                h1 { (title) }
                p class="host" {
                    "Each point is a run with its 95% interval. A dashed horizontal line is the median between two steps. A dashed vertical line marks the first run after a fact changed. "
                    "A step is a change by more than 5%, and by more than the figure usually changes from run to run. "
                    "No step is looked for in fewer than " (FEWEST_RUNS) " runs."
                }
            }
        }
        main id="main" class="wrap" {
            @for (number, history) in histories.iter().enumerate() { (machine_section(history, number)) }
        }
    };
    let links = histories.iter().enumerate();
    let links: Vec<(String, String)> = links
        .map(|(number, history)| (format!("#h{number}"), name(history)))
        .collect();
    shell::page("threadbare: over time", &links, &body)
}

fn name(history: &History<'_>) -> String {
    let cpu = machine::cpu(&history.machine.inputs);
    match history.cpus {
        "all" => cpu,
        count => format!("{cpu}, run on {count} CPUs"),
    }
}

fn machine_section(history: &History<'_>, number: usize) -> Markup {
    let steps = history.steps();
    let mut places: Vec<&Titled> = Vec::new();
    for series in &history.series {
        if !places.iter().any(|one| one.place == series.place.place) {
            places.push(series.place);
        }
    }
    let has_step = |place: &Place| steps.iter().any(|(series, _)| series.place.place == *place);
    let (stepped, level): (Vec<&Titled>, Vec<&Titled>) =
        places.into_iter().partition(|one| has_step(&one.place));
    html! {
        section id={"h" (number)} {
            h2 { (name(history)) }
            p class="lead" { "Machine key " code { (history.key) } ", " (format::parameter("runs_count", history.moments.len() as u64)) "." }
            (moments(history, number))
            (steps_table(history, &steps, number))
            @for place in stepped { (chart(history, place, number)) }
            @if !level.is_empty() && history.moments.len() > 1 {
                details {
                    summary { (level.len()) " workloads without a step" }
                    @for place in level { (chart(history, place, number)) }
                }
            }
        }
    }
}

fn sheet(label: &str, table: &Markup) -> Markup {
    html! {
        div class="sheet" {
            div class="scroll" tabindex="0" role="group" aria-label=(label) { (table) }
            div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        }
    }
}

fn moments(history: &History<'_>, number: usize) -> Markup {
    let table = html! {
        table data-name={"runs-" (number)} {
            thead { tr {
                th scope="col" { "Run" }
                th class="words" scope="col" { "Started" }
                th class="words" scope="col" { "What changed since the run before" }
            } }
            tbody {
                @for (place, moment) in history.moments.iter().enumerate() {
                    tr {
                        th scope="row" { (place + 1) }
                        td class="words" { (started(moment)) br; small { (moment.run.file) } }
                        td class="wrapped" {
                            @for change in &moment.changes { (change.name) ": " (change.before) " → " (change.after) br; }
                            @if moment.changes.is_empty() { span class="none" { @if place == 0 { "the first run" } @else { "no recorded fact" } } }
                        }
                    }
                }
            }
        }
    };
    sheet("Runs", &table)
}

fn steps_table(history: &History<'_>, steps: &[(&Series<'_>, Step)], number: usize) -> Markup {
    if steps.is_empty() {
        let has_too_few_runs = history.moments.len() < FEWEST_RUNS;
        let text = if has_too_few_runs {
            "There are too few runs to look for steps."
        } else {
            "No figure has a step."
        };
        return html! { p class="lead" { (text) } };
    }
    let table = html! {
        table data-name={"steps-" (number)} {
            thead { tr {
                th class="words" scope="col" { "Workload" }
                th class="words" scope="col" { "Lane" }
                th scope="col" { "From run" }
                th scope="col" { "Before" }
                th scope="col" { "After" }
                th scope="col" { "Change" }
                th class="words" scope="col" { "What changed then" }
            } }
            tbody {
                @for (series, step) in steps {
                    tr {
                        th scope="row" { (series.place.title) small { (case_and_quantity(series.place)) } }
                        td class="words" { (series.lane) }
                        td { (step.moment + 1) " " small { (started(&history.moments[step.moment])) } }
                        td { (unit(series).text(step.before)) }
                        td { (unit(series).text(step.after)) }
                        td class=(if step.is_better { "good" } else { "bad" }) { (change_text(step)) }
                        td class="wrapped" {
                            @for change in &history.moments[step.moment].changes { (change.name) " " }
                            @if history.moments[step.moment].changes.is_empty() { span class="none" { "no recorded fact" } }
                        }
                    }
                }
            }
        }
    };
    html! { h3 { "Steps" } (sheet("Steps", &table)) }
}

/// `▲ 12%` if the figure became better by this much, `▼ 1.6×` if it became worse.
#[must_use]
pub fn change_text(step: &Step) -> String {
    let sign = if step.is_better { "▲" } else { "▼" };
    format!("{sign} {}", factor(step.ratio.max(1.0 / step.ratio)))
}

fn started(moment: &Moment<'_>) -> String {
    let started = &moment.run.started;
    started.get(..16).unwrap_or(started).replace('T', " ")
}

fn unit(series: &Series<'_>) -> Unit {
    series
        .points
        .first()
        .map_or(Unit::Count, |(_, figure)| figure.unit)
}

fn case_and_quantity(place: &Titled) -> String {
    match place.case_text.as_str() {
        "" => place.quantity.clone(),
        case => format!("{case}, {}", place.quantity),
    }
}

fn chart(history: &History<'_>, place: &Titled, number: usize) -> Markup {
    let series = history
        .series
        .iter()
        .filter(|one| one.place.place == place.place);
    let series: Vec<&Series<'_>> = series.collect();
    // Counted from 1, as in the table of the runs.
    let at = |moment: usize| (moment + 1) as f64;
    let lines: Vec<Line> = series
        .iter()
        .enumerate()
        .map(|(index, one)| Line {
            label: one.lane.to_owned(),
            lane: index,
            points: one
                .points
                .iter()
                .map(|(moment, figure)| (at(*moment), figure.value, figure.interval))
                .collect(),
            fitted: one
                .levels()
                .into_iter()
                .flat_map(|(first, last, level)| [(at(first), level), (at(last), level)])
                .collect(),
        })
        .collect();
    let changed = history.moments.iter().enumerate();
    let changed = changed.filter(|(_, moment)| !moment.changes.is_empty());
    let breaks: Vec<f64> = changed.map(|(moment, _)| at(moment) - 0.5).collect();
    let title = format!("{}: {}", place.title, case_and_quantity(place));
    let caption = |narrow: &str| Caption {
        description: format!(
            "{} lanes over {} runs; the figures and the steps are in the tables.",
            lines.len(),
            format::count(history.moments.len() as u64)
        ),
        ..View::caption(
            format!(
                "over-time-{number}-{}-{}-{}{narrow}",
                place.place.workload, place.place.case, place.place.quantity
            ),
            title.clone(),
            String::new(),
        )
    };
    let quantity = capital(&place.quantity);
    let chart = Curves {
        lines: &lines,
        x_title: "run",
        y_title: &quantity,
        x_scale: Scale::Linear,
        y_scale: Scale::Log,
        x_unit: Unit::Count,
        y_unit: series.first().map_or(Unit::Count, |one| unit(one)),
        x_ticks: Some(
            (1..=history.moments.len())
                .map(|run| (run as f64, run.to_string()))
                .collect(),
        ),
        ideal: None,
        breaks: &breaks,
        marks: true,
    };
    html! {
        figure {
            figcaption { (title) }
            div class="scroll wide" tabindex="0" role="group" aria-label=(title) { (PreEscaped(curves(&caption(""), &chart))) }
            div class="narrow" { (PreEscaped(narrow_curves(&caption("-narrow"), &chart))) }
        }
    }
}
