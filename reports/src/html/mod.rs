//! One HTML file of a run: verdicts in words first, then the evidence.
//!
//! # Invariants
//!
//! 1. The file needs no network, and its content security policy forbids it:
//!    only the one style sheet and the one script whose hashes it names run.
//! 2. Every text of the run goes through maud's escaping; only the charts,
//!    whose pen escapes, and the assets are put in as they are.
//! 3. Everything but filters, the planner and the comparison reads without
//!    JavaScript.
//! 4. The file stays under [`LARGEST_BYTES`]: the charts for phones are left
//!    out, then those of the raw samples, and it says so, before that is passed.

mod compare;
mod cross_check;
mod environment;
mod figures;
mod folklore;
mod growth;
mod peers;
mod planner;
mod published;
mod question;
mod shell;
mod table;
mod trust;
mod verdicts;
mod view;

use maud::{Markup, html};

use crate::analysis::Analysis;
use crate::run::Run;

pub use compare::render_comparison;
pub(crate) use environment::text as plain;
use view::{Drawn, View};

/// The size that a report stays below.
pub const LARGEST_BYTES: usize = 3 << 20;

/// The report of `run` as one HTML document.
#[must_use]
pub fn render(run: &Run) -> String {
    let analysis = Analysis::of(run);
    let mut text = String::new();
    // Without its own charts a phone scrolls the wide ones.
    for (samples, phones) in [(true, true), (true, false), (false, false)] {
        text = document(&View::new(run, &analysis, Drawn { samples, phones }));
        if text.len() < LARGEST_BYTES {
            break;
        }
    }
    text
}

fn document(view: &View<'_>) -> String {
    let host = &view.run.header.host;
    let title = if host.name.is_empty() {
        format!("threadbare on {}", host.machine.cpu_model)
    } else {
        format!("threadbare on {}", host.name)
    };
    let sections = [
        ("verdicts", "Verdicts", verdicts::section(view)),
        ("peers", "Peers", peers::section(view)),
        ("growth", "Growth", growth::section(view)),
        ("questions", "Questions", question::section(view)),
        ("folklore", "Folklore", folklore::section(view)),
        ("planner", "Planner", planner::section(view)),
        ("published", "Published", published::section(view)),
        ("trust", "Trust", trust::section(view)),
        ("environment", "Environment", environment::section(view)),
        ("beside", "Compare", compare::section()),
    ];
    let links: Vec<(&str, &str)> = sections
        .iter()
        .filter(|(.., body)| body.is_some())
        .map(|(id, name, _)| (*id, *name))
        .collect();
    let body: Markup = html! {
        (verdicts::hero(view))
        main id="main" class="wrap" {
            @for (id, _, body) in &sections {
                @if let Some(body) = body {
                    section id=(id) data-part=(id) { (body) }
                }
            }
        }
    };
    shell::page(&title, &links, &body, Some(&planner::data(view)))
}
