//! A failure in one line: its cause, and advice. The result file keeps the whole message.

use crate::schema::FailureKind;

/// The text before the output of a lane's process.
const LAST_WORDS: &str = "; its last words: ";

/// How runtimes' reports of fatal errors begin.
const OWN_REPORTS: [&str; 6] = [
    " panicked at ",
    "panic: ",
    "fatal error: ",
    "Traceback (most recent call last)",
    "Exception in thread ",
    "Uncaught ",
];

/// Parts of messages about a refusal by the host, with plain words for each group.
const REFUSALS: [(&[&str], &str); 3] = [
    (
        &[
            "EAGAIN",
            "Resource temporarily unavailable",
            "pthread_create failed",
            "WouldBlock",
        ],
        "the host allows no more threads or processes",
    ),
    (
        &[
            "ENOMEM",
            "Cannot allocate memory",
            "OutOfMemory",
            "out of memory",
            "alternative stack",
            "guard page",
        ],
        "the host allows no more memory or mappings",
    ),
    (
        &["EMFILE", "Too many open files"],
        "the host allows no more open files",
    ),
];

const MOST_LETTERS: usize = 160;

/// The cause and the advice in one line, without a runtime's own report.
#[must_use]
pub fn line(kind: FailureKind, message: &str) -> String {
    let happened = happened(message);
    let advice = advice(kind, &happened);
    match advice.is_empty() {
        true => happened,
        false => format!("{happened}: {advice}"),
    }
}

fn happened(message: &str) -> String {
    let (said, last_words) = message.split_once(LAST_WORDS).unwrap_or((message, ""));
    let mut first = said.lines().next().unwrap_or("").trim();
    let is_report = |text: &str| OWN_REPORTS.iter().any(|report| text.contains(report));
    let report = OWN_REPORTS.iter().filter_map(|report| first.find(report));
    if let Some(at) = report.min() {
        // The report `thread 'main' panicked at …` begins after the `;` or `:` before it.
        let before = first[..at].rfind([';', ':']);
        first = first[..before.unwrap_or(0)].trim();
    }
    let is_refusal = |(words, _): &&(&[&str], &str)| {
        let has = |text: &str| words.iter().any(|word| text.contains(word));
        has(last_words) || is_report(said) && has(said)
    };
    let refusal = REFUSALS.iter().find(is_refusal).map(|(_, text)| *text);
    let text = match (first, refusal) {
        ("", Some(refusal)) => refusal.to_owned(),
        ("", None) => "its runtime gave up".to_owned(),
        (first, Some(refusal)) => format!("{first} ({refusal})"),
        (first, None) => first.to_owned(),
    };
    shortened(&text)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_LETTERS) {
        None => text.to_owned(),
        Some((end, _)) => {
            let end = text[..end].rfind(' ').unwrap_or(end);
            format!("{} …", &text[..end])
        }
    }
}

/// Empty if there is no advice, or if the message contains it.
fn advice(kind: FailureKind, happened: &str) -> &'static str {
    match kind {
        FailureKind::NotSupported => "",
        FailureKind::NotInstalled => "`threadbare list` says how to install it",
        FailureKind::Limit if happened.contains("not asked") || happened.contains("raise ") => "",
        FailureKind::Limit => "raise that limit, or set less with --set",
        FailureKind::Crashed => "measure it alone with --lane and --workload to see it again",
        FailureKind::TimedOut => "allow more time with --timeout",
        FailureKind::OutOfMemory => "set fewer tasks with --set, or free memory",
        FailureKind::WrongChecksum => "a defect of the lane: none of its figures here count",
        FailureKind::Protocol => "the lane program is of another version: build it again",
        FailureKind::Failed => "run.jsonl has the whole message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_of_a_toolchain_becomes_plain_words_with_advice() {
        let panics = [
            "killed by SIGABRT, when asked for a sample; its last words: thread '<unnamed>' panicked at /rustc/59807616/library/std/src/sys/pal/unix/stack_overflow.rs:222:13:\nfailed to set up alternative stack guard page: Cannot allocate memory (os error 12)\nstack backtrace:\n   0: __rustc::rust_begin_unwind",
            "thread 'main' panicked at /rustc/59807616/library/std/src/thread/mod.rs:711:5: failed to spawn thread: Os { code: 11, kind: WouldBlock }",
            "exited with status 2, when asked for a sample; its last words: runtime: failed to create new OS thread (have 9 already; errno=11)\nfatal error: newosproc\n\nruntime stack:\nruntime.throw({0x4a3c1f, 0x9})",
            "exited with status 1; its last words: Traceback (most recent call last):\n  File \"/usr/lib/python3/threading.py\", line 994\nRuntimeError: can't start new thread",
        ];
        for message in panics {
            let line = line(FailureKind::Crashed, message);
            for word in [
                "panicked",
                "/rustc",
                "backtrace",
                "Traceback",
                "runtime.",
                "\n",
                ".py",
                "fatal error",
            ] {
                assert!(!line.contains(word), "{word} in {line}");
            }
            assert!(line.ends_with("--workload to see it again"), "{line}");
        }
        assert_eq!(
            line(FailureKind::Crashed, panics[0]),
            "killed by SIGABRT, when asked for a sample (the host allows no more memory or mappings): measure it alone with --lane and --workload to see it again"
        );
        assert!(line(FailureKind::Limit, panics[1]).starts_with("the host allows no more threads"));
    }

    #[test]
    fn message_that_is_plain_stays_as_it_is() {
        let refused = "a futex blocks the thread that its tasks share";
        assert_eq!(line(FailureKind::NotSupported, refused), refused);
        let limit = "could not start thread 29,874: EAGAIN (pids.max is 30,000); raise pids.max";
        assert_eq!(line(FailureKind::Limit, limit), limit);
    }

    #[test]
    fn long_message_is_cut_at_a_word() {
        let text = line(FailureKind::NotSupported, &"word ".repeat(100));
        assert!(
            text.chars().count() <= MOST_LETTERS + 2 && text.ends_with("word …"),
            "{text}"
        );
    }
}
