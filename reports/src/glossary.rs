//! The words of reports and of the terminal, one line each.

/// Each term or sign with its meaning.
pub const TERMS: [(&str, &str); 24] = [
    (
        "lane",
        "one way to run tasks, such as OS threads, processes, tokio or Go",
    ),
    (
        "task",
        "what a lane starts: a thread, a process, a goroutine, an async task",
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
        "process",
        "a fresh start of a lane’s program; it takes a few samples of one cell",
    ),
    (
        "block",
        "one process of each lane, all on one case, in a random order",
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
        "main figure",
        "the first figure of a workload; the others are its further figures",
    ),
    (
        "reference",
        "the lane that all others are compared with, usually thread",
    ),
    (
        "ratio",
        "the lane ÷ the reference, over pairs of processes; not exactly median ÷ median",
    ),
    (
        "95% interval",
        "contains the true value in 19 of 20 such runs; written as 305 – 318 ns",
    ),
    (
        "verdict",
        "faster, slower or no difference; else “too noisy to say”",
    ),
    (
        "decided",
        "a comparison is decided if its verdict is not “too noisy to say”",
    ),
    (
        "repeats",
        "two measurements of the same lane; their difference is noise",
    ),
    (
        "A/A pair",
        "one lane measured as if it were two, to see how much repeats differ",
    ),
    (
        "disturbance",
        "what else the host did during the run, such as another program at work",
    ),
    (
        "ledger",
        "the memory of a task, part by part: its pages, the kernel’s, page tables",
    ),
    (
        "headroom",
        "what the load’s side can do ÷ what the lane did; near 1× the load is the limit",
    ),
    ("0.5×, 2×", "half as much, twice as much"),
    (
        "▲ ▼ ≈ ?",
        "better, worse, no difference that matters, too noisy to say",
    ),
    (
        "µs, kB, KiB",
        "millionths of a second, 1,000 bytes, 1,024 bytes",
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
