//! The distance between Ps, read from sysfs. P number `i` is assumed to run on the `i`-th CPU of
//! the process's affinity: threads are not bound, but the kernel tends to keep them there.

use std::fs;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    places: Vec<(u32, u32)>,
}

impl Topology {
    pub(crate) fn flat() -> Self {
        Self::default()
    }

    /// A CPU whose files cannot be read counts as in the cache group of CPU 0.
    pub(crate) fn read(cpus: &[usize]) -> Self {
        let number = |path: String| fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
        let first_of_list = |path: String| {
            let text = fs::read_to_string(path).ok()?;
            text.trim().split([',', '-']).next()?.parse::<u32>().ok()
        };
        let places = cpus
            .iter()
            .map(|cpu| {
                let base = format!("/sys/devices/system/cpu/cpu{cpu}");
                let socket = number(format!("{base}/topology/physical_package_id")).unwrap_or(0);
                // The highest index is the last level.
                let cache = (0..8)
                    .rev()
                    .find_map(|i| first_of_list(format!("{base}/cache/index{i}/shared_cpu_list")))
                    .unwrap_or(0);
                (cache, socket)
            })
            .collect();
        Self { places }
    }

    /// `places` are the cache group and the socket of each P.
    #[cfg(test)]
    pub(crate) fn simulated(places: Vec<(u32, u32)>) -> Self {
        Self { places }
    }

    /// 0: same last-level cache; 1: same socket; 2: another socket.
    fn distance(&self, a: usize, b: usize) -> u8 {
        match (self.places.get(a), self.places.get(b)) {
            (Some(a), Some(b)) if a.0 == b.0 => 0,
            (Some(a), Some(b)) if a.1 == b.1 => 1,
            (Some(_), Some(_)) => 2,
            _ => 0,
        }
    }

    /// Calls `visit` for each of the Ps in `all` except `me`, the nearest first, until it returns
    /// true. Ps at the same distance are visited in the order of `all`.
    pub(crate) fn visit<I: Iterator<Item = usize>>(
        &self,
        me: usize,
        all: impl Fn() -> I,
        mut visit: impl FnMut(usize) -> bool,
    ) {
        let mut farthest = 0;
        for distance in 0..=2 {
            if distance > farthest {
                break;
            }
            for other in all().filter(|&other| other != me) {
                let far = self.distance(me, other);
                farthest = farthest.max(far);
                if far == distance && visit(other) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visit_reaches_every_other_p_once() {
        let apart = Topology::simulated((0..40).map(|cpu| (cpu / 4, cpu / 8)).collect());
        for (topology, count) in [(Topology::flat(), 1), (Topology::flat(), 40), (apart, 40)] {
            let mut seen = Vec::new();
            topology.visit(
                count / 2,
                || 0..count,
                |p| {
                    seen.push(p);
                    false
                },
            );
            seen.sort_unstable();
            assert!(seen.into_iter().eq((0..count).filter(|&p| p != count / 2)));
        }
    }

    #[test]
    fn visit_goes_to_the_same_cache_then_the_same_socket_then_beyond() {
        let places = (0..8).map(|cpu| (cpu / 2, cpu / 4)).collect();
        let topology = Topology::simulated(places);
        for start in 0..8 {
            let mut order = Vec::new();
            topology.visit(
                2,
                || (start..8).chain(0..start),
                |p| {
                    order.push(p);
                    false
                },
            );
            assert_eq!(order.len(), 7);
            assert_eq!(order[0], 3);
            assert!(order[1..3].iter().all(|p| [0, 1].contains(p)), "{order:?}");
            assert!(order[3..].iter().all(|&p| p >= 4), "{order:?}");
        }
    }
}
