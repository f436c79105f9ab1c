//! Every lane by name: what it is, how it is started, and what it needs.
//!
//! The lane program runs the lanes in Rust. A program under `workloads/foreign/<language>/` runs
//! the others. Both get `--lane NAME`.

mod language;
mod toolbox;

pub(crate) use language::on_path;
use language::{GO, JAVA, NODE, PHP, PYTHON};
pub use language::{Language, Missing, Start};
pub use toolbox::Toolbox;

/// One lane, whether or not it can be run here.
#[derive(Clone, Copy, Debug)]
pub struct LaneEntry {
    /// The stable name.
    pub name: &'static str,
    /// The name of one of its tasks in a sentence.
    pub noun: &'static str,
    /// The lane that it is a variant of.
    pub variant_of: Option<&'static str>,
    /// What distinguishes it.
    pub remark: &'static str,
    /// Whether a task is a thread or a process, which costs more than other tasks.
    pub kernel_tasks: bool,
    /// The language of a foreign lane.
    pub foreign: Option<&'static Language>,
}

const fn foreign(
    language: &'static Language,
    name: &'static str,
    noun: &'static str,
    remark: &'static str,
) -> LaneEntry {
    LaneEntry {
        name,
        noun,
        variant_of: None,
        remark,
        kernel_tasks: false,
        foreign: Some(language),
    }
}

const fn kernel(
    language: &'static Language,
    name: &'static str,
    noun: &'static str,
    remark: &'static str,
) -> LaneEntry {
    LaneEntry {
        kernel_tasks: true,
        ..foreign(language, name, noun, remark)
    }
}

static FOREIGN: &[LaneEntry] = &[
    foreign(&GO, "go", "Go goroutine", "Go's own runtime"),
    kernel(&JAVA, "java-thread", "Java thread", "platform threads"),
    foreign(
        &JAVA,
        "java-virtual",
        "Java virtual thread",
        "virtual threads, from JDK 21",
    ),
    foreign(
        &PYTHON,
        "python-asyncio",
        "asyncio task",
        "CPython, one thread",
    ),
    kernel(
        &PYTHON,
        "python-thread",
        "Python thread",
        "CPython's threading",
    ),
    kernel(
        &PYTHON,
        "python-process",
        "Python process",
        "CPython's multiprocessing",
    ),
    foreign(&NODE, "node-async", "Node promise", "one thread"),
    kernel(&NODE, "node-worker", "Node worker", "worker_threads"),
    kernel(&PHP, "php-fork", "PHP process", "pcntl_fork"),
    foreign(&PHP, "php-fiber", "PHP fiber", "fibers, one thread"),
];

/// The lanes that run when none is named. Go runs if it is installed.
pub const DEFAULT_LANES: [&str; 6] = ["threadbare", "thread", "process", "tokio", "rayon", "go"];

/// All lanes, in the order of the report: in Rust, then in other languages.
#[must_use]
pub fn all() -> Vec<LaneEntry> {
    let rust = workloads::lanes::ALL.iter().map(|entry| LaneEntry {
        name: entry.name,
        noun: entry.noun,
        variant_of: variant_of(entry.name),
        remark: entry.title,
        kernel_tasks: entry.kernel_tasks,
        foreign: None,
    });
    let mut all: Vec<LaneEntry> = rust.chain(FOREIGN.iter().copied()).collect();
    all.sort_by_key(|lane| {
        let model = DEFAULT_LANES.iter().position(|name| *name == lane.name);
        (lane.foreign.is_some(), model.unwrap_or(DEFAULT_LANES.len()))
    });
    all
}

/// The lane of that name.
#[must_use]
pub fn find(name: &str) -> Option<LaneEntry> {
    all().into_iter().find(|lane| lane.name == name)
}

pub(crate) fn versioned(name: &str) -> Option<(&str, &str)> {
    name.split_once('@')
        .filter(|_| !reports::run::is_base(name))
}

/// The lane of which `name` is a variant: `name` begins with that lane's name and `-`.
fn variant_of(name: &str) -> Option<&'static str> {
    let is_base = |base: &str| {
        name.strip_prefix(base)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    workloads::lanes::ALL
        .iter()
        .map(|entry| entry.name)
        .find(|base| is_base(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_variants_are_of_lanes_that_are_there() {
        let all = all();
        let mut names = std::collections::BTreeSet::new();
        for lane in &all {
            assert!(names.insert(lane.name), "{} is there twice", lane.name);
        }
        for lane in &all {
            assert!(
                lane.variant_of.is_none_or(|of| names.contains(of)),
                "{}",
                lane.name
            );
        }
    }

    #[test]
    fn a_lane_is_a_variant_of_the_lane_that_its_name_begins_with() {
        assert_eq!(variant_of("thread-16k"), Some("thread"));
        assert_eq!(variant_of("thread"), None);
        assert_eq!(variant_of("threads"), None);
    }

    #[test]
    fn other_languages_come_after_all_lanes_in_rust() {
        let all = all();
        let first = all.iter().position(|lane| lane.foreign.is_some()).unwrap();
        assert!(all[first..].iter().all(|lane| lane.foreign.is_some()));
    }
}
