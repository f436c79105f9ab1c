//! The host's state over an interval: steal, throttling, pressure, CPU time of other programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use bench_runtime::__host::Cgroup;
use procfs::process::Process;
use procfs::{CpuPressure, Current, CurrentSI, IoPressure, KernelStats, Meminfo, MemoryPressure};
use serde_json::Value;

use super::{clocks, text};

/// Readings by name, which ends with the unit. A reading that the host lacks is absent.
pub type Readings = BTreeMap<String, f64>;

/// The clock rate of the first CPU whose driver reports it.
pub(crate) const FREQUENCY: &str = "frequency_hz";

/// Reads how counters change over time.
#[derive(Debug)]
pub struct Watch {
    last: Counters,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Counters {
    at_ns: u64,
    /// The time of all CPUs, by kind of use.
    cpu_ticks: Option<CpuTicks>,
    /// The CPU time of this process and of the lanes that it has reaped.
    own_ticks: Option<u64>,
    throttled_ns: Option<u64>,
    pressure_us: BTreeMap<&'static str, u64>,
    switches_count: Option<u64>,
    oom_kills_count: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CpuTicks {
    busy: u64,
    idle: u64,
    steal: u64,
}

impl Default for Watch {
    fn default() -> Self {
        Self::start()
    }
}

impl Watch {
    /// Starts to watch.
    #[must_use]
    pub fn start() -> Self {
        Self {
            last: Counters::read(),
        }
    }

    /// The readings since the last call or the start. Call it when no lane runs: the kernel adds a
    /// lane's CPU time to this process's children when the lane is reaped.
    pub fn lap(&mut self) -> Readings {
        let now = Counters::read();
        let mut readings = now.since(&self.last);
        self.last = now;
        readings.extend(current_state());
        readings
    }
}

pub(crate) fn as_values(readings: &Readings) -> BTreeMap<String, Value> {
    readings
        .iter()
        .map(|(name, &value)| (name.clone(), Value::from(value)))
        .collect()
}

fn monotonic_ns() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

impl Counters {
    fn read() -> Self {
        let stats = KernelStats::current().ok();
        let cpu_ticks = stats.as_ref().map(|stats| {
            let cpu = &stats.total;
            let idle = cpu.idle + cpu.iowait.unwrap_or(0);
            // Guest time is part of user time.
            let interrupts = cpu.irq.unwrap_or(0) + cpu.softirq.unwrap_or(0);
            let busy = cpu.user + cpu.nice + cpu.system + interrupts;
            CpuTicks {
                busy,
                idle,
                steal: cpu.steal.unwrap_or(0),
            }
        });
        let own_ticks = Process::myself()
            .and_then(|process| process.stat())
            .ok()
            .map(|stat| {
                let reaped =
                    stat.cutime.max(0).cast_unsigned() + stat.cstime.max(0).cast_unsigned();
                stat.utime + stat.stime + reaped
            });
        let mut pressure_us = BTreeMap::new();
        if let Ok(cpu) = CpuPressure::current() {
            pressure_us.insert("pressure_cpu_ratio", cpu.some.total);
        }
        if let Ok(memory) = MemoryPressure::current() {
            pressure_us.insert("pressure_memory_ratio", memory.some.total);
        }
        if let Ok(io) = IoPressure::current() {
            pressure_us.insert("pressure_io_ratio", io.some.total);
        }
        let oom_kills_count = text("/proc/vmstat").and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
        });
        Self {
            at_ns: monotonic_ns(),
            cpu_ticks,
            own_ticks,
            throttled_ns: Cgroup::of_this_process().throttled_ns(),
            pressure_us,
            switches_count: stats.map(|stats| stats.ctxt),
            oom_kills_count,
        }
    }

    fn since(&self, before: &Self) -> Readings {
        let mut readings = Readings::new();
        let mut put = |name: &str, value: f64| {
            if value.is_finite() {
                readings.insert(name.to_owned(), value);
            }
        };
        let wall_ns = self.at_ns.saturating_sub(before.at_ns) as f64;
        if let (Some(now), Some(earlier)) = (self.cpu_ticks, before.cpu_ticks) {
            let busy = now.busy.saturating_sub(earlier.busy) as f64;
            let idle = now.idle.saturating_sub(earlier.idle) as f64;
            let steal = now.steal.saturating_sub(earlier.steal) as f64;
            let all = busy + idle + steal;
            put("steal_ratio", steal / all);
            put("busy_ratio", busy / all);
            if let (Some(own), Some(own_before)) = (self.own_ticks, before.own_ticks) {
                let own = own.saturating_sub(own_before) as f64;
                put("others_ratio", (busy - own).max(0.0) / all);
            }
        }
        let increase =
            |now: Option<u64>, earlier: Option<u64>| Some(now?.saturating_sub(earlier?) as f64);
        if let Some(ns) = increase(self.throttled_ns, before.throttled_ns) {
            put("throttled_ratio", ns / wall_ns);
        }
        for (name, &now) in &self.pressure_us {
            if let Some(us) = increase(Some(now), before.pressure_us.get(name).copied()) {
                put(name, us * 1000.0 / wall_ns);
            }
        }
        if let Some(count) = increase(self.switches_count, before.switches_count) {
            put("switches_per_s", count * 1e9 / wall_ns);
        }
        if let Some(count) = increase(self.oom_kills_count, before.oom_kills_count) {
            put("oom_kills_count", count);
        }
        readings
    }
}

fn current_state() -> Readings {
    let mut readings = Readings::new();
    if let Ok(load) = procfs::LoadAverage::current() {
        readings.insert("run_queue_count".to_owned(), f64::from(load.one));
    }
    if let Ok(memory) = Meminfo::current() {
        if let Some(available) = memory.mem_available {
            readings.insert("memory_available_bytes".to_owned(), available as f64);
        }
        let swapped = memory.swap_total.saturating_sub(memory.swap_free);
        readings.insert("swap_used_bytes".to_owned(), swapped as f64);
    }
    let root = Path::new("/");
    if let Some(khz) = clocks::read_first(root, "cpufreq/scaling_cur_freq") {
        readings.insert(FREQUENCY.to_owned(), khz * 1000.0);
    }
    if let Some(count) = clocks::read_first(root, "thermal_throttle/core_throttle_count") {
        readings.insert("thermal_throttles_count".to_owned(), count);
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_cpu_time_and_lanes_do_not_count_as_other_programs() {
        let before = Counters::default();
        let ticks = |busy, idle, steal| Some(CpuTicks { busy, idle, steal });
        let before = Counters {
            cpu_ticks: ticks(100, 100, 0),
            own_ticks: Some(10),
            ..before
        };
        let after = Counters {
            at_ns: 1_000_000_000,
            cpu_ticks: ticks(160, 130, 10),
            own_ticks: Some(50),
            ..Counters::default()
        };
        let readings = after.since(&before);
        assert_eq!(readings["steal_ratio"], 0.1);
        assert_eq!(readings["busy_ratio"], 0.6);
        assert_eq!(readings["others_ratio"], 0.2);
        assert!(
            !readings.contains_key("throttled_ratio"),
            "absent, not 0: {readings:?}"
        );
    }

    #[test]
    fn pressure_is_the_share_of_wall_time() {
        let counters = |at_ns, us| Counters {
            at_ns,
            pressure_us: BTreeMap::from([("pressure_io_ratio", us)]),
            ..Counters::default()
        };
        let readings = counters(2_000_000_000, 500_000).since(&counters(0, 0));
        assert_eq!(readings["pressure_io_ratio"], 0.25);
    }

    #[test]
    fn a_lap_in_which_no_time_passed_has_no_infinite_reading() {
        let mut watch = Watch::start();
        let _ = watch.lap();
        let readings = watch.last.since(&watch.last.clone());
        assert!(
            readings.values().all(|value| value.is_finite()),
            "{readings:?}"
        );
    }

    #[test]
    fn this_host_shows_its_load_and_memory() {
        let readings = Watch::start().lap();
        assert!(readings["memory_available_bytes"] > 0.0);
        assert!(readings.contains_key("run_queue_count"));
    }
}
