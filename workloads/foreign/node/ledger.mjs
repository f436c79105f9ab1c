// Memory as a ledger that closes: what the host has lost, and where it went.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const SETTLE_STEP_MS = 50;
const SETTLE_LIMIT_MS = 1000;
const SETTLE_BYTES = 256 << 10;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

/** The first reading, of a heap without garbage. Nothing is collected by hand after it. */
export function baseline() {
  collect();
  return read();
}

/** Waits until the host has settled and reads. */
export async function read() {
  const host = await settle();
  const own = fields('/proc/self/smaps_rollup');
  return {
    available_bytes: -host.MemAvailable,
    anonymous_bytes: own.Pss_Anon + own.Pss_Shmem,
    kernel_stack_bytes: host.KernelStack,
    slab_bytes: host.Slab,
    page_tables_bytes: host.PageTables + (host.SecPageTables ?? 0),
    percpu_bytes: host.Percpu ?? 0,
    virtual_bytes: fields('/proc/self/status').VmSize,
  };
}

/** The change between two readings, as the protocol carries it. */
export function change(before, after, tasks) {
  const names = Object.keys(before);
  return { tasks_count: tasks, ...Object.fromEntries(names.map((name) => [name, after[name] - before[name]])) };
}

async function settle() {
  const start = Date.now();
  let last = meminfo();
  for (let same = 1; same < 3 && Date.now() - start < SETTLE_LIMIT_MS; same++) {
    await sleep(SETTLE_STEP_MS);
    const next = meminfo();
    if (Math.abs(next.MemAvailable - last.MemAvailable) > SETTLE_BYTES) same = 0;
    last = next;
  }
  return last;
}

function meminfo() {
  try {
    // Makes the kernel add up its per-CPU counters now. Only root may; others
    // read figures that are a second older.
    readFileSync('/proc/sys/vm/stat_refresh');
  } catch {
    // Not root.
  }
  return fields('/proc/meminfo');
}

/** The lines 'Name:   12 kB' of a file, in bytes. */
function fields(path) {
  const matches = readFileSync(path, 'utf8').matchAll(/^(\w+):\s*(\d+) kB$/gm);
  return Object.fromEntries([...matches].map(([, name, kilobytes]) => [name, kilobytes * 1024]));
}
