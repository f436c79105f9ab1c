"""Taking a sample: clock, CPU time, context switches, latencies."""

import resource
import time
from collections import Counter
from statistics import median_low

now = time.monotonic_ns


def used():
    """CPU time and switches of this process and of the children that it has waited for."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return round(seconds * 1e9), own.ru_nvcsw + children.ru_nvcsw, own.ru_nivcsw + children.ru_nivcsw


class Meter:
    """Sums up the timed sections of a sample.

    Tasks that are processes count only once they were waited for, so there CPU
    time runs from before the tasks are made until after they are joined.
    """

    def __init__(self, processes=False):
        self.elapsed = 0
        self._used = (0, 0, 0)
        self._begun = used() if processes else None

    def __enter__(self):
        self._before, self._start = used(), now()

    def __exit__(self, *exception):
        self.elapsed += now() - self._start
        self._used = tuple(map(sum, zip(self._used, _difference(used(), self._before))))

    def outcome(self, operations, checksum, **further):
        """The sample; to be called when all tasks have been joined."""
        cpu, voluntary, involuntary = _difference(used(), self._begun) if self._begun else self._used
        return {
            "elapsed_ns": self.elapsed, "operations_count": operations, "checksum": checksum, "cpu_ns": cpu,
            "voluntary_switches_count": voluntary, "involuntary_switches_count": involuntary, **further,
        }

    def per_second(self, count):
        return count / (max(self.elapsed, 1) / 1e9)


def _difference(later, earlier):
    return tuple(max(after - before, 0) for after, before in zip(later, earlier))


def without(used_by_all, report):
    """The lane's usage without the load generator's."""
    parts = report["cpu_ns"], report["voluntary_switches_count"], report["involuntary_switches_count"]
    return dict(zip(("cpu_ns", "voluntary_switches_count", "involuntary_switches_count"), _difference(used_by_all, parts)))


def difference_since(before):
    return _difference(used(), before)


def histogram(latencies, achieved_per_s):
    """Latencies in the protocol's form. A bucket is at most 1/1,024 of its values wide."""
    counts = Counter(ns | (1 << max(ns.bit_length() - 11, 0)) - 1 for ns in latencies)
    return {"corrected": False, "offered_per_s": None, "achieved_per_s": achieved_per_s, "buckets": sorted(counts.items())}


class Clock:
    """A clock that records each tick's delay. A stall counts for all ticks that it covers."""

    def __init__(self, tick):
        self._tick, self._due, self.delays = tick, now() + tick, []

    def rest_s(self):
        return max(self._due - now(), 0) / 1e9

    def look(self):
        woken = now()
        while self._due <= woken:
            self.delays.append(woken - self._due)
            self._due += self._tick


def ticks(delays, tick, meter):
    """The figures of such a clock."""
    latency = histogram(delays, meter.per_second(len(delays)))
    missed = sum(delay >= tick for delay in delays)
    return {
        "latency": {**latency, "corrected": True, "offered_per_s": 1e9 / tick},
        "metrics": {"worst_delay_ns": float(max(delays, default=0)), "missed_ticks_ratio": missed / max(len(delays), 1)},
    }


def median(latencies):
    return float(median_low(latencies))
