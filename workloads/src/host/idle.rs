use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// The CPU's idle time since the host started; `None` if `/proc` does not show it. Time that the
/// hypervisor took (steal) is not idle: the CPU could not do work.
pub(crate) fn idle_ns(cpu: usize) -> Option<u64> {
    let ticks_per_s = sysconf(SysconfVar::CLK_TCK).ok()??;
    let ticks = ticks(&fs::read_to_string("/proc/stat").ok()?, cpu)?;
    Some(ticks * (1_000_000_000 / ticks_per_s as u64))
}

fn ticks(text: &str, cpu: usize) -> Option<u64> {
    let name = format!("cpu{cpu}");
    let mut lines = text.lines().map(str::split_whitespace);
    let words = lines.find_map(|mut words| (words.next()? == name).then_some(words))?;
    let ticks: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    Some(ticks.get(3)? + ticks.get(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_read_from_the_line_of_the_cpu() {
        let text = "cpu  10 1 2 300 40 5 6 70 0 0\ncpu1 1 1 1 100 20 1 1 30 0 0\nintr 5\n";
        assert_eq!(ticks(text, 1), Some(120));
        assert_eq!(ticks(text, 2), None);
        assert_eq!(ticks("cpu1 1 2\n", 1), None);
    }
}
