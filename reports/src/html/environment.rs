//! Where and how the run was measured, with the exact command.

use maud::{Markup, html};
use serde_json::Value;

use super::table;
use super::view::{Section, View, processes};
use crate::format;
use crate::machine;
use crate::run::short_commit;
use crate::schema::{CoreKind, UNKNOWN};

pub(super) fn section(view: &View<'_>) -> Option<Section> {
    let header = &view.run.header;
    let machine = &header.host.machine;
    let design = &header.design;
    let cpus: Vec<String> = design.cpus.iter().map(u32::to_string).collect();
    let lead = html! { "What you need to repeat the run, or to see why another machine gives other figures." };
    let body = html! {
        div class="sheet" {
            h3 { "The exact command" }
            pre { code { (command(&design.command)) } }
            dl class="facts" {
                (fact("Run", &header.run_id))
                (fact("Started", &header.started))
                @if let Some(end) = &view.run.end {
                    (fact("Took", &format::nanoseconds(end.elapsed_ns as f64)))
                }
                (fact("Seed", &header.seed.to_string()))
                (fact("Design", &format!(
                    "{} blocks. {}, and took {} each time.",
                    view.run.blocks.len(), processes(design),
                    format::parameter("samples_count", design.samples_count)
                )))
                (fact("CPUs of every lane", &if cpus.is_empty() { "not pinned".to_owned() } else { cpus.join(", ") }))
                (fact("Smallest difference that gets a verdict", &format::percent(view.analysis.threshold_ratio)))
                (fact("threadbare", &header.threadbare_version))
            }
        }
        div class="sheet" {
            h3 { "The machine" }
            dl class="facts" {
                (fact("CPU", &machine::cpu(machine)))
                (fact("Topology", &machine::topology(machine)))
                @for kind in machine.kinds() { (fact(&kind.name, &kind_text(&kind))) }
                (fact("Memory", &format!("{} GiB", format::number(header.host.memory_bytes as f64 / f64::from(1 << 30)))))
                (fact("Hypervisor", &machine.hypervisor))
                (fact("Instance type", &machine.instance_type))
                (fact("System", &header.host.operating_system))
                (fact("Machine key", &machine.key()))
                @for (name, value) in &header.host.facts { (recorded(name, value)) }
            }
        }
        div class="sheet" {
            h3 { "The software" }
            dl class="facts" {
                @for (name, value) in &header.environment { (recorded(name, value)) }
            }
        }
        div class="sheet" {
            h3 { "The lanes" }
            div class="scroll" tabindex="0" role="group" aria-label="Lanes" {
                table data-name="lanes" {
                    thead { tr {
                        th class="words" scope="col" { "Lane" } th class="words" scope="col" { "A task is a" }
                        th class="words" scope="col" { "Language" } th class="words" scope="col" { "Runtime" }
                        th class="words" scope="col" { "Commit" }
                        th scope="col" { "CPUs" } th class="words" scope="col" { "Remark" }
                    } }
                    tbody {
                        @for lane in &header.lanes {
                            tr data-lane=(lane.name) {
                                th scope="row" { (table::lane(view, &lane.name)) }
                                td class="words" { (lane.noun) }
                                td class="words" { (lane.language) }
                                td class="words" { (lane.runtime) }
                                td class="words" { (short_commit(&lane.commit)) }
                                td { @if lane.cpus_count > 0 { (lane.cpus_count) } }
                                td class="wrapped" {
                                    (lane.remark)
                                    @if let Some(of) = &lane.variant_of { " (a variant of " (of) ")" }
                                }
                            }
                        }
                    }
                }
            }
        }
        p class="notes" {
            "Figures are medians over processes; intervals come from a bootstrap over processes at 95%. "
            "The samples are in the result file beside this page (run.jsonl). METHOD.md explains how figures become verdicts; BIAS.md lists what favours which lane."
        }
    };
    Some(Section {
        title: "Where and how it was measured",
        lead,
        body,
    })
}

fn kind_text(kind: &CoreKind) -> String {
    let caches = kind.caches.iter().map(|cache| {
        let size = match cache.size_bytes {
            0 => UNKNOWN.to_owned(),
            size => format::binary_bytes(size),
        };
        let shared = cache.shared_by_count;
        format!("L{} {} {size}, shared by {shared}", cache.level, cache.kind)
    });
    let counts = [
        ("cores_count", kind.cores_count),
        ("hardware_threads_count", kind.threads_count),
    ];
    let known = counts.iter().filter(|(_, count)| *count > 0);
    let counts = known.map(|(name, count)| format::parameter(name, (*count).into()));
    let revision = [format!("revision {}", kind.stepping)];
    let revision = revision.into_iter().filter(|_| !kind.stepping.is_empty());
    let parts: Vec<String> = counts.chain(revision).chain(caches).collect();
    parts.join("; ")
}

fn fact(name: &str, value: &str) -> Markup {
    html! {
        @if !value.trim().is_empty() { dt { (name) } dd { (value) } }
    }
}

/// A fact with many parts is folded.
fn recorded(name: &str, value: &Value) -> Markup {
    let title = name.trim_end_matches("_bytes").replace('_', " ");
    let Value::Object(parts) = value else {
        return fact(&title, &quantity(name, value));
    };
    html! {
        dt { (title) }
        dd {
            details class="parts" {
                summary { (parts.len()) " entries" }
                dl class="facts" {
                    @for (part, value) in parts { (fact(part, &text(value))) }
                }
            }
        }
    }
}

/// `value` in the unit at the end of `name`. A number from 2⁶² on means no limit.
fn quantity(name: &str, value: &Value) -> String {
    let number = value.as_u64();
    match number.or_else(|| value.as_str()?.parse().ok()) {
        Some(number) if number >= 1 << 62 => "none".to_owned(),
        Some(number) if name.ends_with("_bytes") => format::binary_bytes(number),
        Some(number) if name.ends_with("_count") => format::count(number),
        _ => text(value),
    }
}

/// A value as text, without quotes.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null => "n/a".to_owned(),
        other => other.to_string(),
    }
}

/// The words of a command, quoted for a shell.
fn command(words: &[String]) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=,:+@%".contains(letter);
    let quoted = |word: &String| {
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_can_be_pasted_into_a_shell() {
        let words = ["run", "--out", "a b", "it's", ""].map(str::to_owned);
        assert_eq!(command(&words), r"run --out 'a b' 'it'\''s' ''");
    }
}
