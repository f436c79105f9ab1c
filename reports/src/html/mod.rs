//! A run as one HTML file: first five answers, then the evidence, folded.
//!
//! # Invariants
//!
//! 1. The file needs no network, and its content security policy forbids it. The policy allows only
//!    one style sheet and one script, by their hashes.
//! 2. All text of the run is escaped, by maud or by the charts' pen.
//! 3. All content is readable without JavaScript. The script adds themes, filters, keys and copying
//!    as CSV.
//! 4. A file that would have [`LARGEST_BYTES`] or more leaves out the charts for phones. If that is
//!    not enough, it also leaves out the charts of the raw samples, and says so.

mod answers;
mod compare;
mod cross_check;
mod environment;
mod figures;
mod folklore;
mod growth;
mod history;
mod offered;
mod peers;
mod published;
mod question;
mod shell;
pub mod site;
mod table;
mod trust;
mod verdicts;
mod view;

use maud::{Markup, html};

use crate::analysis::Analysis;
use crate::run::Run;

pub use compare::render_comparison;
pub(crate) use environment::text as plain;
pub use history::{change_text, render_history};
use view::{Drawn, Section, View};

/// A report with charts of raw samples or for phones is smaller than this.
pub const LARGEST_BYTES: usize = 3 << 20;

/// The report of `run` as one HTML document.
#[must_use]
pub fn render(run: &Run) -> String {
    let analysis = Analysis::of(run);
    let mut text = String::new();
    // A phone without its own charts shows the wide ones, which scroll.
    for (samples, phones) in [(true, true), (true, false), (false, false)] {
        text = document(&View::new(run, &analysis, Drawn { samples, phones }));
        if text.len() < LARGEST_BYTES {
            break;
        }
    }
    text
}

/// The sections that are not folded.
const OPEN: [&str; 2] = ["verdicts", "questions"];

fn part(id: &str, section: &Section) -> Markup {
    html! {
        section id=(id) data-part=(id) {
            @if OPEN.contains(&id) {
                h2 { (section.title) }
                p class="lead" { (section.lead) }
                (section.body)
            } @else {
                details class="part" {
                    summary { h2 { (section.title) } span class="lead" { (section.lead) } }
                    (section.body)
                }
            }
        }
    }
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
        ("questions", "Questions", question::section(view)),
        ("peers", "Peers", peers::section(view)),
        ("growth", "Growth", growth::section(view)),
        ("folklore", "Folklore", folklore::section(view)),
        ("published", "Published", published::section(view)),
        ("trust", "Trust", trust::section(view)),
        ("environment", "Environment", environment::section(view)),
    ];
    let links: Vec<(String, String)> = sections
        .iter()
        .filter(|(.., section)| section.is_some())
        .map(|(id, name, _)| (format!("#{id}"), (*name).to_owned()))
        .collect();
    let body: Markup = html! {
        (answers::hero(view))
        main id="main" class="wrap" {
            @for (id, _, section) in &sections {
                @if let Some(section) = section { (part(id, section)) }
            }
        }
    };
    shell::page(&title, &links, &body)
}
