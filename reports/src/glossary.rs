//! The words of reports and of the terminal, one line each.

/// Each term with what it means.
pub const TERMS: [(&str, &str); 14] = [
    (
        "lane",
        "one way to run tasks, such as OS threads, processes, tokio or Go",
    ),
    (
        "workload",
        "one piece of work that answers one question, such as “start one task”",
    ),
    (
        "case",
        "a workload with given parameters, such as 1,000 tasks",
    ),
    ("cell", "one lane on one case"),
    ("sample", "one timing of a cell"),
    (
        "block",
        "all lanes on one workload, each in a fresh process, in a new random order",
    ),
    (
        "run",
        "all blocks of one command; its samples are in one file, run.jsonl",
    ),
    (
        "figure",
        "the median over a cell’s processes, unless a title says otherwise",
    ),
    (
        "95% interval",
        "computed so that in 19 of 20 such runs it contains the true value",
    ),
    ("reference lane", "the lane that ratios are against: thread"),
    (
        "verdict",
        "faster, slower or same, if the figures allow it; else “too noisy to say”",
    ),
    (
        "A/A pair",
        "one lane measured as if it were two: how much repeats differ",
    ),
    (
        "disturbance",
        "what else the host did while it was measured, such as another program",
    ),
    (
        "ledger",
        "the memory of a task, part by part: its pages, the kernel’s, page tables",
    ),
];

/// The terms as lines for a terminal.
#[must_use]
pub fn text() -> String {
    let width = TERMS.iter().map(|(term, _)| term.chars().count()).max();
    let width = width.unwrap_or(0);
    let lines = TERMS.map(|(term, meaning)| format!("  {term:width$}  {meaning}"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_term_has_one_line_of_a_terminal() {
        for line in text().lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert_eq!(text().lines().count(), TERMS.len());
    }
}
