//! Ours beside what others published, their hardware named.

use maud::{Markup, html};

use super::view::View;

/// One figure that somebody else published.
struct Published {
    what: &'static str,
    figure: &'static str,
    source: &'static str,
    /// The workload and the lanes of ours that come nearest; whether our
    /// figure is to be halved, since theirs is a hop and ours a round trip.
    ours: Option<(&'static str, &'static [&'static str], f64)>,
}

const fn published(
    what: &'static str,
    figure: &'static str,
    source: &'static str,
    ours: Option<(&'static str, &'static [&'static str], f64)>,
) -> Published {
    Published {
        what,
        figure,
        source,
        ours,
    }
}

static TABLE: [Published; 11] = [
    published(
        "Yield of a stackful coroutine",
        "8.97 → 1.52 ns",
        "Photon, “Stackful Coroutine Made Fast”, Xeon",
        Some(("switch.yield", &["threadbare"], 1.0)),
    ),
    published(
        "Stack switch alone",
        "4.29 / 3.87 / 1.82 ns",
        "corosensei README: Ryzen 3950X / M1 Max / M3 Max",
        Some(("switch.yield", &["corosensei"], 1.0)),
    ),
    published(
        "Switch: async task against thread",
        "0.2 / 1.7 µs",
        "jimblandy/context-switch, laptop with 4 cores, 8 threads",
        Some(("switch.yield", &["tokio", "thread"], 1.0)),
    ),
    published(
        "Create: async task against thread",
        "0.3 / 17 µs",
        "jimblandy/context-switch, laptop with 4 cores, 8 threads",
        Some(("spawn.batch", &["tokio", "thread"], 1.0)),
    ),
    published(
        "Memory: async task against thread",
        "0.4 / about 20 KiB",
        "jimblandy/context-switch, laptop with 4 cores, 8 threads",
        Some(("memory.parked", &["tokio", "thread"], 1.0)),
    ),
    published(
        "Brigade of 500, a hop: async, thread",
        "3.6 / 5.3 µs",
        "jimblandy/context-switch, laptop with 4 cores, 8 threads",
        Some(("share.brigade", &["tokio", "thread"], 1.0)),
    ),
    published(
        "Threads and goroutines, 10,000, RSS each",
        "9.4 / 3.5 kB, and 4 kB of page tables that RSS omits",
        "matklad, 2021",
        Some(("memory.parked", &["thread", "go", "threadbare"], 1.0)),
    ),
    published(
        "1M sleeping tasks, each: tokio, Go",
        "439 / 2,586 B",
        "hez2010, 2024, i7-13700K",
        Some(("memory.million", &["tokio", "go"], 1.0)),
    ),
    published(
        "Skynet of 1M, a leaf: Go",
        "200 to 224 ns",
        "atemerev/skynet, i7-4771, 2015",
        Some(("spawn.skynet", &["go", "threadbare"], 1.0)),
    ),
    published(
        "Thread switch, pinned / not",
        "1.2 / 2.2 µs",
        "Bendersky, “Measuring context switching and memory overheads for Linux threads”",
        Some(("switch.pipe", &["thread"], 0.5)),
    ),
    published(
        "Launch: thread, process",
        "5 / 22 µs",
        "Bendersky, as above",
        Some(("spawn.one", &["thread", "process"], 1.0)),
    ),
];

/// The section.
pub(super) fn section(view: &View<'_>) -> Option<Markup> {
    let rows: Vec<(&Published, Option<String>)> = TABLE
        .iter()
        .map(|published| (published, ours(view, published)))
        .collect();
    if rows.iter().all(|(_, ours)| ours.is_none()) {
        return None;
    }
    Some(html! {
        h2 { "Beside what others published" }
        p class="lead" {
            "Other machines, other years, other methods: the comparison is of orders of magnitude. Ratios travel better than figures."
        }
        div class="sheet" {
            div class="scroll" tabindex="0" role="group" aria-label="Published figures" {
                table data-name="published" {
                    thead { tr {
                        th class="words" scope="col" { "What" } th class="words" scope="col" { "Published" }
                        th class="words" scope="col" { "Here" } th class="words" scope="col" { "Where" }
                    } }
                    tbody {
                        @for (published, ours) in &rows {
                            tr {
                                th scope="row" { (published.what) }
                                td class="wrapped" { (published.figure) }
                                td class="words" {
                                    @match ours {
                                        Some(ours) => b { (ours) },
                                        None => span class="open" { "not measured in this run" },
                                    }
                                }
                                td class="wrapped open" { (published.source) }
                            }
                        }
                    }
                }
            }
            div class="under" { button class="copy" type="button" data-copy { "Copy as CSV" } }
        }
    })
}

fn ours(view: &View<'_>, published: &Published) -> Option<String> {
    let (workload, lanes, share) = published.ours?;
    let known = view.run.workload(workload)?;
    let (_, rows) = view.main_case(known)?;
    let texts: Vec<String> = lanes
        .iter()
        .filter_map(|lane| {
            let row = rows.iter().find(|row| row.lane == *lane)?;
            let figure = match row.is_resolved() {
                true => row.quantity.unit.text(row.estimate?.value * share),
                false => row.value_text(),
            };
            Some(format!("{lane} {figure}"))
        })
        .collect();
    let halved = if (share - 1.0).abs() > f64::EPSILON {
        " (half a round trip)".to_owned()
    } else {
        String::new()
    };
    (!texts.is_empty()).then(|| format!("{}{halved}", texts.join(", ")))
}
