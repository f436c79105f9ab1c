//! What the parent prints.

use std::fs;

use super::Answer;

/// The label of Go's row.
pub(super) const GO: &str = "Go: parked";

/// Goals of the project for the ledger's sum at a million, by row; the first ten
/// thousand of the default weigh 3.6 KiB more each.
const GOALS: [(&str, f64); 3] = [
    ("spawned, not yet run", 96.0),
    ("parked (the default)", 4.9 * 1024.0),
    ("parked and compacted (the default)", 850.0),
];

/// The middle of them, and the least and the most. No NaN comes out of a clock
/// or a ledger.
fn spread(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    match values {
        [] => (f64::NAN, f64::NAN, f64::NAN),
        [.., last] => {
            let last = *last;
            let half = values.len() / 2;
            let middle = match values.len() % 2 {
                1 => values[half],
                _ => f64::midpoint(values[half - 1], values[half]),
            };
            (middle, values[0], last)
        }
    }
}

/// What was run where.
pub(super) fn heading(rounds: usize) {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = line("/proc/meminfo");
    let total = info.lines().next().unwrap_or_default();
    println!("kernel:  {}", line("/proc/sys/kernel/osrelease").trim());
    println!("machine: {cpus} CPUs, {total}");
    println!("load:    {}", line("/proc/loadavg").trim());
    println!("rounds:  {rounds}");
}

/// The rows of one count.
pub(super) struct Rows {
    count: usize,
    rows: Vec<(&'static str, Vec<Answer>)>,
}

impl Rows {
    pub(super) fn new(count: usize) -> Self {
        Self {
            count,
            rows: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, label: &'static str, answer: Answer) {
        match self.rows.iter_mut().find(|(known, _)| *known == label) {
            Some((_, answers)) => answers.push(answer),
            None => self.rows.push((label, vec![answer])),
        }
    }

    pub(super) fn print(&self, verdicts: &mut Verdicts) {
        println!(
            "\nbytes a goroutine, {} of them ({:>6} {:>13} {:>9} {:>7} {:>5} {:>8}) and ns to make, wake",
            self.count, "sum", "range", "resident", "tables", "slab", "machine"
        );
        for (label, answers) in &self.rows {
            let each = |names: &[&str]| {
                let value = |answer: &Answer| -> f64 {
                    names.iter().filter_map(|name| answer.get(name)).sum()
                };
                let mut values: Vec<f64> = answers
                    .iter()
                    .map(|answer| value(answer) / self.count as f64)
                    .collect();
                spread(&mut values)
            };
            let sum = each(&["resident", "tables", "slab"]);
            println!(
                "{label:38} {:>6.0} {:>13} {:>9.0} {:>7.0} {:>5.0} {:>8.0} {:>8.0} {:>6.0}",
                sum.0,
                format!("{:.0}-{:.0}", sum.1, sum.2),
                each(&["resident"]).0,
                each(&["tables"]).0,
                each(&["slab"]).0,
                each(&["machine"]).0,
                each(&["made"]).0,
                each(&["woken"]).0,
            );
            if let Some((_, goal)) = GOALS.iter().find(|(goal, _)| goal == label) {
                verdicts.add(
                    &format!("{label}, {} of them, bytes", self.count),
                    sum.0,
                    *goal,
                );
            }
        }
    }
}

/// The row of a huge number.
pub(super) fn huge(count: usize, answer: &Answer, verdicts: &mut Verdicts) {
    const GIB: f64 = (1u64 << 30) as f64;
    let get = |name: &str| answer.get(name).unwrap_or(f64::NAN);
    let sum = get("resident") + get("tables") + get("slab");
    println!(
        "\n{count} parked and compacted (the default), all woken, the sum right: {:.0} bytes each \
         (resident {:.0}, tables {:.0}, slab {:.0}; machine {:.0}), peak {:.1} GiB, {:.0} s in all",
        sum / count as f64,
        get("resident") / count as f64,
        get("tables") / count as f64,
        get("slab") / count as f64,
        get("machine") / count as f64,
        get("peak") / GIB,
        (get("made") + get("reached") + get("woken")) / 1e9,
    );
    verdicts.add(
        &format!("peak of {count} compacted, GiB"),
        get("peak") / GIB,
        24.0,
    );
}

pub(super) fn costs_heading() {
    println!("\n{:52} {:>8} {:>15}", "CPU time, ns", "median", "range");
}

/// Prints a row of costs; the median.
pub(super) fn cost(label: &str, values: &mut [f64]) -> f64 {
    let (middle, least, most) = spread(values);
    println!(
        "{label:52} {middle:>8.0} {:>15}",
        format!("{least:.0}-{most:.0}")
    );
    middle
}

/// Prints a row of ratios; the median.
pub(super) fn ratio(label: &str, values: &mut [f64]) -> f64 {
    let (middle, least, most) = spread(values);
    println!(
        "{label:52} {middle:>8.3} {:>15}",
        format!("{least:.3}-{most:.3}")
    );
    middle
}

/// What was seen beside what is to be reached.
#[derive(Default)]
pub(super) struct Verdicts(Vec<(String, f64, f64)>);

impl Verdicts {
    pub(super) fn add(&mut self, what: &str, seen: f64, goal: f64) {
        self.0.push((what.to_owned(), seen, goal));
    }

    pub(super) fn print(&self) {
        println!("\n{:64} {:>8} {:>8}", "goals", "seen", "at most");
        for (what, seen, goal) in &self.0 {
            let digits = if *goal < 100.0 && goal.fract() != 0.0 {
                3
            } else {
                0
            };
            let said = if seen <= goal { "reached" } else { "MISSED" };
            println!("{what:64} {seen:>8.digits$} {goal:>8.digits$}  {said}");
        }
    }
}
