//! The page: complete, self-contained, bounded, and safe against malicious input.

use std::path::Path;

use reports::schema::{Depth, Failure, FailureKind};
use reports::{Analysis, compare, html};

use crate::synthetic::{self, Wish};

fn page() -> String {
    html::render(&synthetic::run(Wish::default()))
}

/// Writes the page to the target folder, to open it in a browser.
fn keep(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(path, text).expect("the target folder can be written");
}

/// The items of the first screen: the answers to five questions, then how sure they are.
fn first_screen(page: &str) -> Vec<&str> {
    let (hero, _) = page.split_once("<main").expect("a main part");
    hero.split("<li class=\"answer").skip(1).collect()
}

#[test]
fn page_opens_with_five_answers_each_with_figure_interval_and_reference() {
    let page = page();
    keep("report.html", &page);
    let answers = first_screen(&page);
    let expected = [
        ("to start a task", "Rayon job", "71.8\u{a0}ns"),
        ("to keep a task waiting", "Tokio task", "B</b>"),
        (
            "to switch between tasks",
            "Threadbare goroutine",
            "119\u{a0}ns",
        ),
        ("to serve requests", "", "s</b>"),
        ("to compute with", "", "s</b>"),
    ];
    for (text, (question, best, figure)) in answers.iter().zip(expected) {
        for part in [question, best, figure, " – ", "</span>thread", "</span>go"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    assert!(
        answers[0].contains("× faster than a thread"),
        "{}",
        answers[0]
    );
    assert!(answers[5].contains("comparisons with thread are decided"));
}

#[test]
fn indistinguishable_best_lanes_are_named_together() {
    let mut run = synthetic::run(Wish::default());
    let times: Vec<u64> = (0..5).map(|process| 71_000 + 300 * process).collect();
    for group in &mut run.groups {
        if group.workload == "spawn.one" && ["threadbare", "rayon"].contains(&&*group.lane) {
            for sample in &mut group.samples {
                sample.elapsed_ns = times[group.process_index as usize % 5];
                sample.operations_count = 1_000;
            }
        }
    }
    let page = html::render(&run);
    let answer = first_screen(&page)[0];
    assert!(
        answer.contains("goroutine or") || answer.contains("job or"),
        "{answer}"
    );
    assert!(
        answer.contains("the lanes marked ≈ differ by too little to matter")
            && answer.contains("rayon ≈<")
            && answer.contains("threadbare ≈<")
            && !answer.contains("tokio ≈"),
        "{answer}"
    );
}

#[test]
fn doubts_say_what_they_mean_for_the_verdicts() {
    let page = page();
    let doubts = first_screen(&page)[5];
    assert!(
        doubts.contains("CPU time given to other machines: </b>")
            && doubts.contains("all lanes of a block share it"),
        "{doubts}"
    );
    assert!(!page.contains("taint"), "the word is the code's");
}

#[test]
fn file_without_roles_still_has_a_page() {
    let file = crate::schema::in_crate("tests/fixtures/v1-small.jsonl");
    let run = reports::store::read(&file).expect("an old file is read");
    assert!(run.header.workloads.iter().all(|one| one.roles.is_empty()));
    let page = html::render(&run);
    assert!(page.contains("<h1>") && page.contains("id=\"questions\""));
}

#[test]
fn role_of_a_later_version_is_read_and_ignored() {
    let workload = serde_json::json!({
        "id": "x", "title": "", "question": "", "operation": "", "activity": "", "measures": [],
        "roles": ["a_later_one"], "first_screen": {"question": "later_as_well", "rank": 0}
    });
    let workload: reports::schema::Workload = serde_json::from_value(workload).expect("read");
    assert_eq!(workload.roles, [reports::schema::Role::Unknown]);
    assert_eq!(
        workload.first_screen.expect("a place").question,
        reports::schema::FirstQuestion::Unknown
    );
}

#[test]
fn all_but_the_overview_and_the_list_of_questions_is_folded() {
    let page = page();
    for part in ["folklore", "published", "trust", "environment"] {
        let (_, rest) = page
            .split_once(&format!("<section id=\"{part}\""))
            .expect(part);
        let start = rest.split_once('>').expect("its end").1;
        assert!(
            start.starts_with("<details class=\"part\"><summary>"),
            "{part}"
        );
    }
    assert!(!page.contains("<details open") && !page.contains(" open>"));
    let questions = page.matches("<details class=\"sheet question\"").count();
    assert_eq!(questions, 10);
}

#[test]
fn first_screen_explains_each_term() {
    let page = page();
    let (hero, _) = page.split_once("<main").expect("a main part");
    for (term, _) in reports::glossary::TERMS {
        assert!(hero.contains(&format!("<dt>{term}</dt>")), "{term}");
    }
}

#[test]
fn failure_is_one_line_with_what_to_do_and_no_panic_of_a_toolchain() {
    let mut run = synthetic::run(Wish::default());
    for failure in &mut run.failures {
        failure.message = format!(
            "{}; its last words: thread 'main' panicked at /rustc/59807616/library/std/src/thread/mod.rs:711:5:\nfailed to spawn thread\nnote: run with `RUST_BACKTRACE=1`",
            failure.message
        );
    }
    let page = html::render(&run);
    for word in ["panicked", "/rustc/", "RUST_BACKTRACE"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("killed by SIGSEGV: measure it alone"));
}

#[test]
fn goroutine_is_named_with_its_runtime() {
    let page = page();
    let (hero, _) = page.split_once("<main").expect("a main part");
    assert!(hero.contains("Threadbare goroutine") && hero.contains("BIAS.md"));
    assert!(!page.contains("a goroutine "), "whose?");
}

fn answer(run: &reports::Run, claim: &str) -> String {
    let page = html::render(run);
    let claims = page.split("<li class=\"claim\">").skip(1);
    let mut claims = claims.map(|text| text.split_once("</li>").map_or(text, |(text, _)| text));
    let answer = claims.find(|text| text.contains(claim));
    answer.expect("the claim is there").to_owned()
}

#[test]
fn claim_about_goroutines_is_judged_on_go_with_ours_beside() {
    const CLAIM: &str = "“Goroutines are faster to create than threads.”";
    let mut run = synthetic::run(Wish::default());
    for group in run
        .groups
        .iter_mut()
        .filter(|group| group.lane == "threadbare")
    {
        for sample in &mut group.samples {
            sample.elapsed_ns *= 10_000;
        }
    }
    let judged = answer(&run, CLAIM);
    assert!(judged.contains("✓ holds"), "{judged}");
    assert!(judged.contains("Go goroutine ") && judged.contains("threadbare goroutine "));
    run.header.lanes.retain(|lane| lane.name != "go");
    run.groups.retain(|group| group.lane != "go");
    let unjudged = answer(&run, CLAIM);
    assert!(unjudged.contains("– not measured"), "{unjudged}");
    assert!(unjudged.contains("threadbare goroutine "), "{unjudged}");
}

#[test]
fn sleepers_are_judged_by_their_whole_time() {
    let mut run = synthetic::run(Wish::default());
    let workloads = run.header.workloads.iter_mut();
    for workload in workloads.filter(|one| one.id == "io.sleepers") {
        workload.telling = vec!["over_ns".into()];
        workload.metrics = vec![reports::schema::Metric {
            name: "over_ns".into(),
            title: "time beyond the sleep".into(),
            better: reports::schema::Better::Lower,
        }];
    }
    for group in run
        .groups
        .iter_mut()
        .filter(|one| one.workload == "io.sleepers")
    {
        for sample in &mut group.samples {
            sample.elapsed_ns = 1_050_000_000;
            sample.metrics.insert("over_ns".into(), 50e6);
        }
    }
    let told = answer(&run, "“A goroutine that blocks does not block its thread.”");
    let told = told.replace('\u{a0}', " ");
    assert!(
        told.contains(
            "1,000 Go goroutines slept for 1.00 s at the same time and were done after 1.05 s"
        ),
        "{told}"
    );
}

#[test]
fn limit_of_the_load_generator_is_no_limit_of_threads() {
    let mut run = synthetic::run(Wish::default());
    let of_generator = Failure {
        workload: "io.tcp_echo".into(),
        lane: "thread".into(),
        kind: FailureKind::Limit,
        message: "not asked: the load generator manages 100 requests/s on this host".into(),
        ..Failure::default()
    };
    run.failures.insert(0, of_generator);
    let page = html::render(&run);
    assert!(page.contains("The limit that was met: could not start thread 29,874"));
}

#[test]
fn page_loads_nothing_and_says_so() {
    let page = page();
    assert!(page.contains("default-src 'none'; style-src 'sha256-"));
    for word in [
        "src=\"",
        "@import",
        "url(",
        "<link",
        "<iframe",
        "fetch(",
        "XMLHttpRequest",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    let rest = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!rest.contains("http://") && !rest.contains("https://"));
}

#[test]
fn page_has_no_inline_styles_or_handlers_that_its_policy_would_refuse() {
    let page = page();
    let (body, _) = page.split_once("<script>").expect("a script");
    for word in [" style=\"", " onclick=", " onload=", "javascript:"] {
        assert!(!body.contains(word), "{word}");
    }
}

#[test]
fn ids_are_unique_and_every_link_has_its_target() {
    let page = page();
    let ids: Vec<&str> = page
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let mut unique_ids = ids.clone();
    unique_ids.sort_unstable();
    unique_ids.dedup();
    let mut seen = std::collections::BTreeSet::new();
    let twice: Vec<&&str> = ids.iter().filter(|id| !seen.insert(**id)).collect();
    assert!(twice.is_empty(), "{twice:?}");
    for link in page
        .split(" href=\"#")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert!(
            unique_ids.binary_search(&link).is_ok(),
            "no target for #{link}"
        );
    }
}

#[test]
fn page_is_small_and_every_chart_has_title_and_description() {
    let page = page();
    assert!(page.len() < html::LARGEST_BYTES, "{}", page.len());
    let (body, _) = page.split_once("<script").expect("a script");
    assert!(!body.contains("NaN"), "no figure is not a number");
    let charts = page.matches("<svg ").count();
    assert!(charts > 15, "{charts}");
    assert_eq!(charts, page.matches("</desc>").count());
    assert_eq!(charts, page.matches("<desc id=").count());
    assert!(!page.contains("#FACE"), "every ink has its variable");
}

#[test]
fn script_in_any_text_of_the_run_shows_as_text() {
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let mut run = synthetic::run(Wish::default());
    let text = || evil.to_owned();
    run.header.host.name = text();
    run.header.host.machine.cpu_model = text();
    run.header.run_id = text();
    run.header.design.command = vec![text()];
    run.header.host.facts.insert(text(), text().into());
    run.header.environment.insert(text(), text().into());
    for lane in &mut run.header.lanes {
        lane.noun = text();
        lane.remark = text();
    }
    for workload in &mut run.header.workloads {
        workload.title = text();
        workload.question = text();
        workload.operation = text();
        workload.activity = text();
    }
    for failure in &mut run.failures {
        failure.message = text();
    }
    run.taints[0].kind = text();
    run.taints[0].message = text();
    run.warnings.push(text());
    run.header.lanes[0].name = text();
    run.header.workloads[0].id = text();
    for group in &mut run.groups {
        if group.lane == "threadbare" {
            group.lane = text();
        }
        if group.workload == "spawn.one" {
            group.workload = text();
        }
        group.parameters.insert(text(), 3);
    }
    let page = html::render(&run);
    keep("evil.html", &page);
    assert!(page.contains("&lt;script&gt;alert(1)"), "it is shown");
    assert!(
        !page.contains("<script>alert(1)") && !page.contains("<img"),
        "it is not run"
    );
    let labelled = vec![(text(), run.clone()), ("b".to_owned(), run)];
    let page = html::render_comparison(&compare::compare(&labelled));
    assert!(
        !page.contains("<script>alert(1)") && !page.contains("<img"),
        "it is not run"
    );
}

#[test]
fn cells_without_a_figure_say_why() {
    let page = page();
    assert!(page.contains("EAGAIN (pids.max is 30,000)"));
    assert!(page.contains("a rayon job cannot wait without holding its worker"));
    assert!(page.contains("killed by SIGSEGV"));
}

#[test]
fn precise_run_says_that_cells_have_more_processes_where_needed() {
    let mut run = synthetic::run(Wish::default());
    assert!(html::render(&run).contains("Each program was started 5 times for each workload"));
    run.header.design.precision_ratio = Some(0.04);
    let page = html::render(&run);
    assert!(page.contains("Each program was started 5 times or more for each workload"));
}

#[test]
fn quick_and_interrupted_runs_are_marked() {
    let mut run = synthetic::run(Wish {
        depth: Depth::Quick,
        ..Wish::default()
    });
    run.end = None;
    let page = html::render(&run);
    assert!(page.contains("Quick run: rough figures") && page.contains("cut short"));
}

#[test]
fn empty_and_odd_runs_render_without_a_panic() {
    assert!(html::render(&reports::Run::default()).contains("No two lanes"));
    let mut run = synthetic::run(Wish::default());
    for group in &mut run.groups {
        for sample in &mut group.samples {
            sample.elapsed_ns = 0;
            sample.memory = sample.memory.map(|_| reports::schema::Memory {
                tasks_count: 1,
                ..Default::default()
            });
        }
    }
    let page = html::render(&run);
    assert!(page.contains("</html>"));
}

#[test]
fn huge_run_leaves_out_the_raw_charts_and_says_so() {
    let mut run = synthetic::run(Wish::default());
    let one = run
        .header
        .workloads
        .iter()
        .find(|w| w.id == "spawn.one")
        .expect("it")
        .clone();
    let groups: Vec<_> = run
        .groups
        .iter()
        .filter(|g| g.workload == "spawn.one")
        .cloned()
        .collect();
    for index in 0..200 {
        let id = format!("spawn.copy{index}");
        run.header.workloads.push(reports::schema::Workload {
            id: id.clone(),
            ..one.clone()
        });
        run.groups
            .extend(groups.iter().map(|g| reports::schema::Group {
                workload: id.clone(),
                ..g.clone()
            }));
    }
    let page = html::render(&run);
    assert!(page.len() < html::LARGEST_BYTES, "{}", page.len());
    assert!(page.contains("were left out to keep this file small"));
    assert!(
        !page.contains("class=\"narrow\""),
        "charts for phones go first"
    );
}

#[test]
fn comparison_shows_differences_first_and_missing_cells_as_missing() {
    let here = synthetic::run(Wish::default());
    let mut there = synthetic::run(Wish {
        seed: 9,
        host: "metal-64",
        cpu: "Ampere Altra",
        scale: 1.7,
        ..Wish::default()
    });
    there
        .groups
        .retain(|group| group.workload != "spawn.one" && group.lane != "rayon");
    let compared = compare::compare(&[("here".into(), here), ("there".into(), there)]);
    assert_eq!(compared.machines_count(), 2);
    assert!(
        compared
            .differences
            .iter()
            .any(|difference| difference.name == "CPU")
    );
    let missing = compared
        .rows
        .iter()
        .filter(|row| row.workload == "spawn.one");
    assert!(missing.clone().count() > 0 && missing.clone().all(|row| row.cells[1].is_none()));
    let goroutine = compared
        .means
        .iter()
        .find(|mean| mean.lane == "threadbare")
        .expect("a mean");
    assert!(goroutine.missing_count > 0);
    // All lanes are slower by one factor on the second machine, so the ratios are the same.
    assert!(
        (goroutine.ratios[0] / goroutine.ratios[1] - 1.0).abs() < 0.02,
        "{:?}",
        goroutine.ratios
    );
    // No case of rayon is in both runs, so it has no mean, but it is listed.
    let rayon = compared.means.iter().find(|mean| mean.lane == "rayon");
    let rayon = rayon.expect("shown, though no case is everywhere");
    assert_eq!((rayon.ratios.len(), rayon.cases_count), (0, 0));
    assert!(rayon.missing_count > 0);
    let page = html::render_comparison(&compared);
    keep("compare.html", &page);
    assert!(page.contains("left out: some run lacks this lane"));
    assert!(page.find("Ampere Altra") < page.find("Ratios within each machine"));
    assert!(page.contains("missing"));
}

#[test]
fn figure_of_another_tool_beyond_both_intervals_is_flagged() {
    let mut run = synthetic::run(Wish::default());
    for (lane, value) in [("threadbare", 306.0), ("thread", 50_000.0)] {
        run.cross_checks.push(reports::schema::CrossCheck {
            source: "criterion".into(),
            name: format!("spawn/one/{lane}"),
            workload: "spawn.one".into(),
            lane: lane.into(),
            value_ns: value,
            low_ns: value * 0.99,
            high_ns: value * 1.01,
            ..Default::default()
        });
    }
    let page = html::render(&run);
    assert!(page.contains("they agree") && page.contains("criterion’s is 92."));
}

#[test]
fn figure_of_another_tool_is_compared_only_at_the_same_number_of_workers() {
    let mut run = synthetic::run(Wish::default());
    let all = run.header.design.cpus.len() as u64;
    for workers in [1, all] {
        run.cross_checks.push(reports::schema::CrossCheck {
            source: "criterion".into(),
            name: format!("spawn/one/threadbare/{workers}P"),
            workload: "spawn.one".into(),
            lane: "threadbare".into(),
            workers_count: Some(workers),
            value_ns: 306.0,
            low_ns: 300.0,
            high_ns: 312.0,
            ..Default::default()
        });
    }
    assert!(all > 1);
    let page = html::render(&run);
    let row = |workers: u64| {
        let (_, rest) = page
            .split_once(&format!("spawn/one/threadbare/{workers}P"))
            .expect("a row");
        rest.split("</tr>").next().expect("its end")
    };
    assert!(row(all).contains("they agree"), "{}", row(all));
    assert!(
        row(1).contains("not in this run: spawn.one on threadbare on 1 worker"),
        "{}",
        row(1)
    );
}

#[test]
fn figure_that_the_load_generator_limits_is_a_bound_and_its_headroom_a_factor() {
    let mut run = synthetic::run(Wish::default());
    let echo = run
        .header
        .workloads
        .iter_mut()
        .find(|workload| workload.id == "io.tcp_echo")
        .expect("the workload");
    echo.metrics.push(reports::schema::Metric {
        name: "load_headroom_ratio".into(),
        title: "load headroom".into(),
        better: reports::schema::Better::Higher,
    });
    for group in &mut run.groups {
        if group.workload == "io.tcp_echo" {
            let headroom = match group.lane.as_str() {
                "threadbare" => 1.125,
                _ => 12.5,
            };
            for sample in &mut group.samples {
                sample
                    .metrics
                    .insert("load_headroom_ratio".into(), headroom);
            }
        }
    }
    let analysis = Analysis::of(&run);
    for row in analysis.rows_of("io.tcp_echo") {
        let is_of_load = row.quantity.id.starts_with("load_");
        assert_eq!(
            is_of_load,
            row.verdict_text("thread") == "no verdict (load generator)"
        );
        assert!(
            !is_of_load || row.standing.is_none(),
            "no lane is better by it"
        );
        let is_bound = row.value_text().starts_with("at most");
        let may_be = row.lane == "threadbare" && !row.quantity.id.contains("ratio");
        assert_eq!(is_bound, may_be, "{row:?}");
    }
    let page = html::render(&run);
    assert!(page.contains(">12.5×<") && page.contains(">1.13×<"));
    assert!(!page.contains("1250%"));
    assert!(page.contains("so it may be the limit"), "it is explained");
}

#[test]
fn latency_of_a_service_is_drawn_over_the_offered_rate() {
    let mut run = synthetic::run(Wish::default());
    let echo = run.header.workloads.iter_mut();
    let echo = { echo }.find(|workload| workload.id == "io.tcp_echo");
    let figures = ["rate_per_s", "at_25_ns_p99", "at_150_ns_p99"];
    echo.expect("the workload")
        .metrics
        .extend(figures.map(|name| reports::schema::Metric {
            name: name.into(),
            title: name.into(),
            better: reports::schema::Better::Lower,
        }));
    let title = "99th percentile of latency over the requests a second that were offered";
    assert!(!html::render(&run).contains(title), "there are no figures");
    for group in &mut run.groups {
        if group.workload == "io.tcp_echo" {
            for sample in &mut group.samples {
                let values = [1_000.0, 2e6, 90e6];
                let all = figures.into_iter().zip(values);
                sample
                    .metrics
                    .extend(all.map(|(name, value)| (name.into(), value)));
            }
        }
    }
    let page = html::render(&run);
    assert!(page.contains(title));
    assert!(page.contains("requests offered a second"));
    let (_, table) = page
        .split_once("What load each lane can carry, and")
        .expect("a table");
    let (table, _) = table.split_once("</table>").expect("its end");
    assert!(
        table.contains("Highest rate within the limit") && table.contains("<td>1.00\u{a0}k/s</td>"),
        "{table}"
    );
    let analysis = Analysis::of(&run);
    let rates = analysis.rows_of("io.tcp_echo");
    for row in rates.filter(|row| row.quantity.id == "rate_per_s") {
        let interval = row.interval_text();
        assert!(
            !interval.is_empty() && table.contains(&format!("<td>{interval}</td>")),
            "{interval} in {table}"
        );
    }
    assert!(
        !page.contains("Median latency over the requests a second"),
        "one point is no curve"
    );
}

#[test]
fn mean_over_rates_calls_the_higher_rate_better() {
    let mut run = synthetic::run(Wish::default());
    run.header
        .workloads
        .retain(|workload| workload.id == "io.tcp_echo");
    run.groups.retain(|group| group.workload == "io.tcp_echo");
    for group in &mut run.groups {
        let each_ns = if group.lane == "tokio" { 500 } else { 1_000 };
        for sample in &mut group.samples {
            sample.elapsed_ns = each_ns * sample.operations_count;
        }
    }
    let echo = &mut run.header.workloads[0];
    echo.measures = vec![reports::schema::Measure::Throughput];
    let page = html::render(&run);
    // There is one workload, so its best lane is the title, and its sheet is open.
    assert!(
        page.contains("<h1>tokio had the highest rate: "),
        "{page:.3000}"
    );
    assert!(page.contains("data-workload=\"io.tcp_echo\" open>"));
    // With one case there is no mean.
    let mut one = run.clone();
    one.groups
        .retain(|group| group.parameters["offered_per_s"] == 0);
    assert!(!html::render(&one).contains("<tfoot>"));
    let (_, mean) = page.split_once("<tfoot>").expect("a mean");
    let (_, tokio) = mean.split_once("data-lane=\"tokio\">").expect("its cell");
    assert!(
        tokio.starts_with("▲ 2.0×"),
        "{}",
        &tokio[..40.min(tokio.len())]
    );
}

#[test]
fn counted_events_stand_beside_the_figure_and_their_absence_is_not_zero() {
    let file = crate::schema::in_crate("tests/fixtures/v1-every-section.jsonl");
    let run = reports::store::read(&file).expect("a good file");
    let counted = run.counters.first().expect("the fixture has counters");
    assert_eq!(counted.of_one("page_faults"), Some(1.5));
    assert_eq!(counted.of_one("instructions"), None);
    let page = html::render(&run);
    assert!(page.contains(">1.50 page faults<"));
    assert!(page.contains("1.50 page faults, 0.02 context switches, 0 migrations"));
    assert!(
        page.contains(r#"title="">n/a</td>"#),
        "a lane without counters"
    );
}

#[test]
fn further_figures_have_headings_and_undecided_verdicts_say_why() {
    let mut run = synthetic::run(Wish::default());
    for group in &mut run.groups {
        // Every second process takes three times as long.
        if group.workload == "spawn.one" && group.lane == "tokio" {
            let factor = 1_000 + 2_000 * (group.process_index % 2);
            for sample in &mut group.samples {
                sample.elapsed_ns = 25 * factor * sample.operations_count;
            }
        }
    }
    let page = html::render(&run);
    let mut tables = 0;
    for rest in page.split("<caption>Further figures</caption>").skip(1) {
        let (_, body) = rest.split_once("<tbody>").expect("a body");
        assert!(body.starts_with("<tr class=\"case\">"), "{}", &body[..200]);
        tables += 1;
    }
    assert!(tables > 0, "a workload has further figures");
    let (_, question) = page.split_once("id=\"q-spawn.one\"").expect("it");
    let (question, _) = question
        .split_once("details class=\"sheet")
        .expect("the next");
    assert!(
        question.contains("those of tokio differ most, by up to 3.00×"),
        "{question}"
    );
}
