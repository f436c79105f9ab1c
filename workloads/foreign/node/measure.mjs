// Taking a sample: clock, CPU time, context switches, latencies.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** The monotonic clock in nanoseconds, the same in all threads. */
export function now() {
  return Number(process.hrtime.bigint());
}

/** The size of the affinity mask: os.cpus() counts all CPUs of the host. */
export function cpus() {
  const [, list] = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return list.split(',').map((range) => range.split('-').map(Number)).reduce((count, [first, last = first]) => count + last - first + 1, 0);
}

/** The value of a parameter for which 0 means the lane's CPUs. */
export function orCpus(count) {
  return count || cpus();
}

export const collectGarbage = (() => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc');
})();

function used() {
  const usage = process.resourceUsage();
  return {
    cpu_ns: (usage.userCPUTime + usage.systemCPUTime) * 1000,
    voluntary_switches_count: usage.voluntaryContextSwitches,
    involuntary_switches_count: usage.involuntaryContextSwitches,
  };
}

/** Sums up the timed sections of a sample. */
export class Meter {
  #elapsed = 0;
  #used = { cpu_ns: 0, voluntary_switches_count: 0, involuntary_switches_count: 0 };

  /** Runs and times a section, which may be asynchronous; returns its result. */
  async time(section) {
    const before = used();
    const start = now();
    const result = await section();
    this.#elapsed += now() - start;
    const after = used();
    for (const name of Object.keys(before)) this.#used[name] += Math.max(after[name] - before[name], 0);
    return result;
  }

  get elapsed() {
    return this.#elapsed;
  }

  /** The usage of the process alone, without children that it has waited for. */
  get used() {
    return this.#used;
  }

  perSecond(count) {
    return count / (Math.max(this.#elapsed, 1) / 1e9);
  }

  outcome(operations, checksum, further = {}) {
    return { elapsed_ns: this.#elapsed, operations_count: operations, checksum, ...this.#used, ...further };
  }
}

/** Latencies in the protocol's form. A bucket is at most 1/1,024 of its values wide. */
export function histogram(latencies, achieved) {
  const counts = new Map();
  for (const ns of latencies) {
    const width = 2 ** Math.max(Math.floor(Math.log2(Math.max(ns, 1))) - 10, 0);
    const highest = (Math.floor(ns / width) + 1) * width - 1;
    counts.set(highest, (counts.get(highest) ?? 0) + 1);
  }
  const buckets = [...counts].sort(([a], [b]) => a - b);
  return { corrected: false, offered_per_s: null, achieved_per_s: achieved, buckets };
}

/** Sleeps from tick to tick and records each tick's delay. A stall counts for all ticks that it covers. */
export async function keepTime(tick, delays, isOver) {
  for (let due = now() + tick; !isOver();) {
    await sleep(Math.max((due - now()) / 1e6, 0));
    for (const woken = now(); due <= woken; due += tick) delays.push(woken - due);
  }
}

/** The figures of such a clock. */
export function ticks(delays, tick, achieved) {
  const latency = { ...histogram(delays, achieved), corrected: true, offered_per_s: 1e9 / tick };
  const missed = delays.filter((delay) => delay >= tick).length;
  const worst = delays.reduce((a, b) => Math.max(a, b), 0);
  return { latency, metrics: { worst_delay_ns: worst, missed_ticks_ratio: missed / Math.max(delays.length, 1) } };
}

export function median(latencies) {
  const sorted = [...latencies].sort((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1];
}

export function sum(numbers) {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
