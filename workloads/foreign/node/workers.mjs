// The lane node-worker: a task is a thread of worker_threads with a heap of its own.

import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Failure } from './failure.mjs';
import { withFiles } from './files.mjs';
import { KERNELS, copies } from './kernels/index.mjs';
import { collectGarbage, histogram, median, Meter, now, orCpus, sum, ticks } from './measure.mjs';
import { readMemory } from './protocol.mjs';

const PROGRAM = new URL('./worker.mjs', import.meta.url);
/** The most workers. Each is a V8 isolate of several MB; with more, the host's paging would be measured. */
const MOST_WORKERS = 500;
const SMALL_WORK = 'a worker costs milliseconds and megabytes, so programs do not give it tasks this small; see node-async';

export function refuses(workload) {
  if (Object.hasOwn(SHAPES, workload) || Object.hasOwn(KERNELS, workload)) return null;
  if (workload === 'spawn.fork_rss') return 'only for processes';
  if (workload === 'io.email') return 'Node has no mail client of its own';
  if (workload === 'service.http') return 'a server has one event loop for all connections: see node-async';
  if (workload === 'switch.futex') return "Node's Atomics.wait blocks a worker by a lock and a condition of its own, not by a futex";
  if (workload === 'switch.roundtrip') return 'a message port has no capacity, and Node cannot pin a thread to a CPU';
  return SMALL_WORK;
}

export function run(order) {
  return (SHAPES[order.workload] ?? chunks)(order);
}

/** A worker that runs one of the tasks of worker.mjs. */
class Task {
  constructor(task, data = {}) {
    this.worker = new Worker(PROGRAM, { workerData: { task, ...data } });
    const { promise, resolve, reject } = withResolvers();
    this.done = promise;
    this.worker.once('message', ({ result }) => {
      this.result = result;
    });
    this.worker.once('error', reject);
    this.worker.once('exit', (code) => (code === 0 ? resolve(this.result) : reject(new Error(`a worker ended with ${code}`))));
    // The task that joins it gets the failure.
    promise.catch(() => {});
  }
}

function withResolvers() {
  let [resolve, reject] = [];
  const promise = new Promise((yes, no) => { [resolve, reject] = [yes, no]; });
  return { promise, resolve, reject };
}

function startAll(count, task, data = () => ({})) {
  if (count > MOST_WORKERS) {
    throw new Failure('not_supported', `${count} workers at a time: each is a V8 isolate of several MB, so this lane starts ${MOST_WORKERS} at most`);
  }
  return Array.from({ length: count }, (_, index) => new Task(task, data(index)));
}

async function joinAll(tasks) {
  return sum(await Promise.all(tasks.map(({ done }) => done)));
}

/** Numbers that all workers see. */
function shared(count) {
  return new Int32Array(new SharedArrayBuffer(4 * count));
}

/** Waits until tasks have set a shared number to a value. */
async function reach(numbers, index, value) {
  while (Atomics.load(numbers, index) < value) await sleep(1);
}

/** The shared numbers of a team: how many tasks have started, and whether the gate is open. */
const ARRIVED = 0;
const OPEN = 1;

function open(gate) {
  Atomics.store(gate, OPEN, 1);
  Atomics.notify(gate, OPEN);
}

async function spawnOne({ iterations }) {
  const meter = new Meter();
  const total = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) handed += await new Task('number', { number: 1 }).done;
    return handed;
  });
  return meter.outcome(iterations, total);
}

async function spawnBatch({ iterations, tasks_count: tasks }) {
  const meter = new Meter();
  const total = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) handed += await joinAll(startAll(tasks, 'number', (index) => ({ number: index + 1 })));
    return handed;
  });
  return meter.outcome(iterations * tasks, total);
}

async function firstInstruction({ iterations }) {
  const [returns, firsts, finishes] = [[], [], []];
  const meter = new Meter();
  await meter.time(async () => {
    for (let i = 0; i < iterations; i++) {
      const called = now();
      const task = new Task('clock');
      const returned = now();
      const ran = await task.done;
      const finished = now();
      returns.push(returned - called);
      firsts.push(ran - called);
      finishes.push(finished - ran);
    }
  });
  const metrics = { spawn_return_ns: median(returns), first_instruction_ns: median(firsts), finish_ns: median(finishes) };
  const latency = histogram(firsts, meter.perSecond(iterations));
  return meter.outcome(iterations, firsts.filter((ns) => ns > 0).length, { metrics, latency });
}

/** A worker that answers messages until it receives `null`. */
async function partner(task) {
  const other = new Task(task);
  other.worker.removeAllListeners('message');
  const answers = [];
  let waiting;
  other.worker.on('message', (message) => {
    if (waiting) waiting(message);
    else answers.push(message);
    waiting = undefined;
  });
  const receive = () => (answers.length > 0 ? answers.shift() : new Promise((resolve) => { waiting = resolve; }));
  await receive(); // Its first message means that it has started.
  return { send: (message) => other.worker.postMessage(message), receive, end: () => { other.worker.postMessage(null); return other.done; } };
}

async function pingPong({ iterations, rounds_count: roundsEach }) {
  const rounds = roundsEach * iterations;
  const other = await partner('increment');
  const meter = new Meter();
  const value = await meter.time(async () => {
    let token = 0;
    for (let round = 0; round < rounds; round++) {
      other.send(token);
      token = await other.receive();
    }
    return token;
  });
  await other.end();
  return meter.outcome(rounds, value);
}

async function idleWake({ iterations, rounds_count: roundsEach, idle_ns: idle }) {
  const rounds = roundsEach * iterations;
  const other = await partner('sinceSent');
  const meter = new Meter();
  const wakes = [];
  await meter.time(async () => {
    for (let round = 0; round < rounds; round++) {
      if (idle > 0) await sleep(idle / 1e6);
      other.send(now());
      wakes.push(await other.receive());
    }
  });
  await other.end();
  const latency = histogram(wakes, meter.perSecond(rounds));
  return meter.outcome(rounds, wakes.length, { latency, metrics: { wake_ns: median(wakes) } });
}

async function hog({ iterations, hogs_count: hogsOrZero, hog_ns: ns, tick_ns: tick }) {
  const hogs = orCpus(hogsOrZero);
  const gate = shared(2);
  const victim = new Task('sleepy', { gate, tick });
  await reach(gate, ARRIVED, 1);
  const meter = new Meter();
  const done = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) handed += await joinAll(startAll(hogs, 'hog', () => ({ ns })));
    return handed;
  });
  open(gate);
  const delays = await victim.done;
  return meter.outcome(iterations, Math.floor(done / hogs), ticks(delays, tick, meter.perSecond(delays.length)));
}

/** All memory.*: the memory of workers that block on a gate. */
async function hold({ workload, tasks_count: tasks, levels_count: levels = 0, wait_ns: waitNs }) {
  const task = { 'memory.deep': 'deep', 'memory.shrink': 'shrink' }[workload] ?? 'parked';
  const begin = async (count) => {
    const gate = shared(2);
    const started = startAll(count, task, (index) => ({ gate, index, levels }));
    await Promise.race([reach(gate, ARRIVED, count), Promise.all(started.map(({ done }) => done))]);
    return { end: () => { open(gate); return joinAll(started); } };
  };
  await (await begin(1)).end(); // Costs that only the first worker has are not counted.
  const meter = new Meter();
  collectGarbage(); // The first reading is of a heap without garbage. The lane calls the collector only here.
  await readMemory();
  const waiting = await meter.time(() => begin(tasks));
  await sleep(waitNs / 1e6);
  await readMemory();
  const total = await waiting.end();
  return meter.outcome(tasks, total);
}

/** Starts tasks that wait at a gate, opens it and joins them. */
async function team(meter, gate, tasks) {
  await reach(gate, ARRIVED, tasks.length);
  return meter.time(() => {
    open(gate);
    return joinAll(tasks);
  });
}

async function counter({ iterations, tasks_count: tasks, additions_count: additionsEach, means }) {
  const additions = additionsEach * iterations;
  const [gate, count, meter] = [shared(2), shared(1), new Meter()];
  if (means === 1) throw new Failure('not_supported', 'Node has no lock between workers');
  if (means === 0) {
    if (tasks * additions >= 2 ** 31) throw new Failure('not_supported', 'the counter is a number of 32 bits');
    await team(meter, gate, startAll(tasks, 'addAtomically', () => ({ gate, count, additions })));
    return meter.outcome(tasks * additions, Atomics.load(count, 0));
  }
  const ports = Array.from({ length: tasks }, () => new MessageChannel());
  const adders = ports.map(({ port1: port }) => {
    const task = new Task('addByMessage', { gate, additions });
    task.worker.postMessage({ port }, [port]);
    return task;
  });
  const owner = new Task('own', { gate, count: tasks * additions });
  const ends = ports.map(({ port2 }) => port2);
  owner.worker.postMessage({ ports: ends }, ends);
  const total = await team(meter, gate, [...adders, owner]);
  return meter.outcome(tasks * additions, total);
}

/** Workers, started in the set-up, that take chunks from a shared counter. */
async function chunks({ workload, iterations, workers_count: workersOrZero, ...parameters }) {
  const [gate, meter, workers] = [shared(2), new Meter(), orCpus(workersOrZero)];
  const repeats = iterations * copies(workload, workers);
  if (repeats * parameters.chunks_count >= 2 ** 31) throw new Failure('not_supported', 'the workers share a counter of 32 bits');
  const taken = shared(1);
  const tasks = startAll(workers, 'chunks', () => ({ gate, taken, workload, parameters, repeats }));
  const total = await team(meter, gate, tasks);
  return meter.outcome(iterations, total);
}

async function sleepers({ iterations, tasks_count: tasks, sleep_ns: ns }) {
  const meter = new Meter();
  const total = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) handed += await joinAll(startAll(tasks, 'sleeper', (index) => ({ index, ns })));
    return handed;
  });
  return meter.outcome(iterations * tasks, total, { metrics: { over_ns: meter.elapsed / iterations - ns } });
}

async function fileRead({ iterations, tasks_count: tasks, file_bytes: size, block_bytes: block, cold }) {
  if (cold) throw new Failure('not_supported', 'Node has no posix_fadvise, by which the kernel forgets pages');
  return withFiles(tasks, size, async (paths) => {
    const meter = new Meter();
    const total = await meter.time(async () => {
      let handed = 0;
      for (let i = 0; i < iterations; i++) handed += await joinAll(startAll(tasks, 'file', (index) => ({ path: paths[index], block })));
      return handed;
    });
    return meter.outcome(iterations * tasks, total);
  });
}

const SHAPES = {
  'spawn.one': spawnOne, 'spawn.batch': spawnBatch, 'spawn.first_instruction': firstInstruction,
  'switch.pingpong': pingPong, 'switch.idle_wake': idleWake, 'switch.hog': hog,
  'memory.parked': hold, 'memory.deep': hold, 'memory.shrink': hold, 'memory.million': hold,
  'share.counter': counter, 'io.sleepers': sleepers, 'io.file_read': fileRead,
};
