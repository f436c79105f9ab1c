//! Finds the disturbances of a run. The analysis decides what they mean.

use std::path::Path;
use std::time::Duration;

use reports::schema::Taint;

use super::{Readings, clocks, placed};

/// The shares of the time above which a reading taints its block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// CPU time that the hypervisor gave to other guests.
    pub steal_ratio: f64,
    /// Time in which the cgroup's quota stopped the lanes.
    pub throttled_ratio: f64,
    /// CPU time that other programs of this host used.
    pub others_ratio: f64,
    /// Time in which a task waited for memory.
    pub pressure_memory_ratio: f64,
    /// Time in which a task waited for a disk.
    pub pressure_io_ratio: f64,
}

impl Default for Bounds {
    /// The bounds of steal and of waits for memory are a fifth of the smallest effect that gets a
    /// verdict (5%), so neither alone causes a verdict. Only `io.file_read` waits for a disk, so
    /// only long waits matter.
    fn default() -> Self {
        Self {
            steal_ratio: 0.01,
            throttled_ratio: 0.001,
            others_ratio: 0.05,
            pressure_memory_ratio: 0.01,
            pressure_io_ratio: 0.10,
        }
    }
}

fn taint(kind: &str, value: f64, bound: f64, block: Option<u64>, message: String) -> Taint {
    Taint {
        kind: kind.to_owned(),
        message,
        value: Some(value),
        bound: Some(bound),
        block_index: block,
        ..Taint::default()
    }
}

/// The taints that the readings of a block show; of the whole run if `block` is `None`.
#[must_use]
pub fn taints_of(readings: &Readings, bounds: &Bounds, block: Option<u64>) -> Vec<Taint> {
    let checks = [
        (
            "steal",
            "steal_ratio",
            bounds.steal_ratio,
            "of the CPU time went to other machines on the same hardware; measure on a dedicated machine, or at another time",
        ),
        (
            "throttling",
            "throttled_ratio",
            bounds.throttled_ratio,
            "of the time the control group's CPU quota held the lanes back; raise the quota or take it off",
        ),
        (
            "others",
            "others_ratio",
            bounds.others_ratio,
            "of the CPU time was used by other programs; stop them (see `top`)",
        ),
        (
            "pressure_memory",
            "pressure_memory_ratio",
            bounds.pressure_memory_ratio,
            "of the time a task waited for memory; free some",
        ),
        (
            "pressure_io",
            "pressure_io_ratio",
            bounds.pressure_io_ratio,
            "of the time a task waited for a disk; stop what reads or writes",
        ),
    ];
    let mut taints: Vec<Taint> = checks
        .into_iter()
        .filter_map(|(kind, name, bound, rest)| {
            let value = *readings.get(name)?;
            let message = format!("{:.1}% {rest}", value * 100.0);
            (value > bound).then(|| taint(kind, value, bound, block, message))
        })
        .collect();
    if let Some(&kills) = readings
        .get("oom_kills_count")
        .filter(|&&kills| kills > 0.0)
    {
        let message = format!("the kernel killed {kills} processes for want of memory");
        taints.push(taint("out_of_memory", kills, 0.0, block, message));
    }
    taints
}

/// The taints of every run on this host: by its setup, and by `idle`, the readings while nothing
/// was measured.
#[must_use]
pub fn standing_taints(idle: &Readings, bounds: &Bounds) -> Vec<Taint> {
    let mut taints = taints_of(idle, bounds, None);
    taints.extend(placed::shared_node_taint());
    let governor = clocks::governor(Path::new("/"));
    taints.extend(governor.and_then(|governor| governor_taint(&governor)));
    if let Some(&swapped) = idle.get("swap_used_bytes").filter(|&&bytes| bytes > 0.0) {
        let message = format!(
            "{:.0} MiB are swapped out, and memory figures leave them out; `swapoff -a` brings them back",
            swapped / f64::from(1 << 20)
        );
        taints.push(taint("swap", swapped, 0.0, None, message));
    }
    taints
}

/// The taint of a lane whose threads the kernel moved between CPUs more often than its balancing
/// does. After each move the caches are cold.
#[must_use]
pub(crate) fn migrations_taint(
    lane: &str,
    count: u64,
    over: Duration,
    block: u64,
) -> Option<Taint> {
    const MOST_PER_S: f64 = 1_000.0;
    // Threads that start cause fewer moves than this.
    const FEWEST: u64 = 100;
    let rate = count as f64 / over.as_secs_f64();
    (count >= FEWEST && rate > MOST_PER_S).then(|| {
        let message = format!(
            "the kernel moved threads of the lane {lane} {rate:.0} times a second from CPU to CPU; --cpus with one CPU keeps them in place"
        );
        taint("migrations", rate, MOST_PER_S, Some(block), message)
    })
}

/// The taint of a block after which the clock rate was well below `fastest_hz`, the run's highest.
#[must_use]
pub(crate) fn frequency_taint(now_hz: f64, fastest_hz: f64, block: u64) -> Option<Taint> {
    const LEAST_SHARE: f64 = 0.9;
    let share = now_hz / fastest_hz;
    (share < LEAST_SHARE).then(|| {
        let message = format!(
            "the CPU's clock was at {:.0}% of the run's fastest: it was hot or its governor slowed it; cool it, or `cpupower frequency-set -g performance`",
            share * 100.0
        );
        taint("frequency", share, LEAST_SHARE, Some(block), message)
    })
}

/// The taint of lanes that were built without optimisation.
#[must_use]
pub fn debug_build_taint() -> Taint {
    Taint {
        kind: "debug_build".to_owned(),
        message:
            "the lanes were built without optimisation: the figures say nothing; use --release"
                .to_owned(),
        ..Taint::default()
    }
}

fn governor_taint(governor: &str) -> Option<Taint> {
    // Other governors change the frequency with the load, so figures depend on what ran before.
    (governor != "performance").then(|| Taint {
        kind: "governor".to_owned(),
        message: format!(
            "the frequency governor is `{governor}`: short samples may run at a low clock; `cpupower frequency-set -g performance` fixes it"
        ),
        ..Taint::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(of: &[(&str, f64)]) -> Readings {
        of.iter()
            .map(|&(name, value)| (name.to_owned(), value))
            .collect()
    }

    #[test]
    fn a_quiet_block_is_not_tainted() {
        let quiet = readings(&[
            ("steal_ratio", 0.001),
            ("others_ratio", 0.01),
            ("pressure_cpu_ratio", 0.9),
        ]);
        assert_eq!(taints_of(&quiet, &Bounds::default(), Some(3)), []);
    }

    #[test]
    fn steal_taints_its_block_and_names_share_and_bound() {
        let taints = taints_of(
            &readings(&[("steal_ratio", 0.034)]),
            &Bounds::default(),
            Some(3),
        );
        let [taint] = taints.as_slice() else {
            panic!("{taints:?}")
        };
        assert_eq!(taint.kind, "steal");
        assert_eq!(
            (taint.value, taint.bound, taint.block_index),
            (Some(0.034), Some(0.01), Some(3))
        );
        assert!(
            taint.message.starts_with("3.4% of the CPU time"),
            "{}",
            taint.message
        );
    }

    #[test]
    fn few_migrations_or_slow_ones_do_not_taint() {
        let second = Duration::from_secs(1);
        assert!(migrations_taint("tokio", 99, second / 1_000, 1).is_none());
        assert!(migrations_taint("tokio", 900, second, 1).is_none());
        let taint = migrations_taint("tokio", 5_000, second, 1).unwrap();
        assert_eq!(
            (taint.kind.as_str(), taint.value),
            ("migrations", Some(5_000.0))
        );
    }

    #[test]
    fn a_clock_below_nine_tenths_of_the_fastest_taints() {
        assert!(frequency_taint(2.8e9, 3e9, 0).is_none());
        assert!(
            frequency_taint(2.0e9, 3e9, 0)
                .unwrap()
                .message
                .contains("67%")
        );
    }

    #[test]
    fn an_out_of_memory_kill_taints() {
        let taints = taints_of(
            &readings(&[("oom_kills_count", 1.0)]),
            &Bounds::default(),
            None,
        );
        assert_eq!(taints[0].kind, "out_of_memory");
    }

    #[test]
    fn any_governor_but_performance_taints() {
        assert!(governor_taint("performance").is_none());
        assert!(
            governor_taint("schedutil")
                .unwrap()
                .message
                .contains("`schedutil`")
        );
    }
}
