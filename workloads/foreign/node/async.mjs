// The lane node-async: a task is an asynchronous function, and all run on one thread.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setImmediate as yieldNow, setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Gate } from './gate.mjs';
import { Failure } from './failure.mjs';
import { addUp, withFiles } from './files.mjs';
import { descendAsync } from './kernels/descend.mjs';
import { lehmer } from './kernels/lehmer.mjs';
import { collectGarbage, histogram, keepTime, median, Meter, now, orCpus, sum, ticks } from './measure.mjs';
import { readMemory } from './protocol.mjs';
import { serviceHttp } from './service.mjs';

const NO_PIPES = 'Node has no call that makes a kernel pipe within a process';

const NO_CHANNEL = 'JavaScript has no channel and no lock for tasks on one thread: a figure would be of one that this suite has made';
const OVER_CHANNELS = /^switch\.(pingpong|roundtrip|ring|working_set|idle_wake)$|^share\.(?!counter|brigade)/;

export function refuses(workload) {
  if (OVER_CHANNELS.test(workload)) return NO_CHANNEL;
  if (workload.startsWith('cpu.')) return 'all promises run on one thread; see node-worker';
  if (/^(io\.tcp_|service\.)/.test(workload) && !process.env.THREADBARE_LOAD) return 'THREADBARE_LOAD does not name the load generator';
  return {
    'spawn.fork_rss': 'Node cannot fork: a child is another program',
    'switch.futex': 'all promises run on one thread, which a futex would block',
    'switch.pipe': NO_PIPES,
    'io.email': 'Node has no mail client of its own',
    'share.brigade': NO_PIPES,
  }[workload] ?? null;
}

export function run(order) {
  return SHAPES[order.workload](order);
}

/** Starts a task. Its body runs when the caller next waits, not at once. */
async function spawn(body) {
  await null;
  return body();
}

function startAll(count, body) {
  return Array.from({ length: count }, (_, index) => spawn(() => body(index)));
}

async function joinAll(tasks) {
  return sum(await Promise.all(tasks));
}

/** Tasks that wait at a gate until all of them have started. */
class Team {
  #gate = new Gate();
  #tasks = [];
  #arrived = 0;

  add(body) {
    this.#tasks.push(spawn(async () => {
      this.#arrived++;
      await this.#gate.opened;
      return body();
    }));
  }

  async assemble() {
    while (this.#arrived < this.#tasks.length) await yieldNow();
  }

  start() {
    this.#gate.open();
  }

  join() {
    return joinAll(this.#tasks);
  }

  /** Times the team from opening the gate to the last join; the result of the tasks or of the main task. */
  async timed(meter, main) {
    await this.assemble();
    return meter.time(async () => {
      this.start();
      const total = await main?.();
      const handed = await this.join();
      return main ? total : handed;
    });
  }
}

// spawn

async function spawnOne({ iterations }) {
  const meter = new Meter();
  const total = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) handed += await spawn(() => 1);
    return handed;
  });
  return meter.outcome(iterations, total);
}

async function spawnBatch({ iterations, tasks_count: tasks }) {
  const meter = new Meter();
  const total = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) handed += await joinAll(startAll(tasks, (index) => index + 1));
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
      const task = spawn(now);
      const returned = now();
      const ran = await task;
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

async function skynet({ iterations, leaves_count: leaves }) {
  if (!/^10+$/.test(leaves)) throw new Failure('bad_request', `leaves_count is ${leaves}; it must be a power of 10, 10 or more`);
  const grow = (first, size) => (size === 1 ? first : joinAll(startAll(10, (i) => grow(first + (i * size) / 10, size / 10))));
  const meter = new Meter();
  const total = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) handed += await spawn(() => grow(0, leaves));
    return handed;
  });
  return meter.outcome(iterations * leaves, total);
}

// switch

async function yields({ iterations, tasks_count: tasks, yields_count: yieldsEach }) {
  const count = yieldsEach * iterations;
  const [meter, team] = [new Meter(), new Team()];
  for (let i = 0; i < tasks; i++) {
    team.add(async () => {
      let done = 0;
      for (; done < count; done++) await yieldNow();
      return done;
    });
  }
  const total = await team.timed(meter);
  return meter.outcome(tasks * count, total);
}

async function hog({ iterations, hogs_count: hogsOrZero, hog_ns: ns, tick_ns: tick }) {
  const hogs = orCpus(hogsOrZero);
  let stop = false;
  const delays = [];
  const victim = spawn(() => keepTime(tick, delays, () => stop));
  while (delays.length === 0) await yieldNow();
  const meter = new Meter();
  const done = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) {
      handed += await joinAll(startAll(hogs, () => {
        for (const end = now() + ns; now() < end;);
        return 1;
      }));
    }
    return handed;
  });
  stop = true;
  await victim;
  return meter.outcome(iterations, Math.floor(done / hogs), ticks(delays, tick, meter.perSecond(delays.length)));
}

// memory

function parked(order) {
  return hold(order, async (index, wait) => {
    await wait();
    return index + 1;
  });
}

function deep(order) {
  return hold(order, (_, wait) => descendAsync(order.levels_count, wait));
}

function shrink(order) {
  return hold(order, async (_, wait) => {
    const depth = await descendAsync(order.levels_count, async () => {});
    await wait();
    return depth;
  });
}

/** Requests a reading of the ledger without waiting tasks, then one with them. */
async function hold({ tasks_count: tasks, wait_ns: waitNs }, body) {
  await (await startWaiting(1, body)).end(); // Costs that only the first task has are not counted.
  const meter = new Meter();
  collectGarbage(); // The first reading is of a heap without garbage. The lane calls the collector only here.
  await readMemory();
  const waiting = await meter.time(() => startWaiting(tasks, body));
  await sleep(waitNs / 1e6);
  await readMemory();
  const total = await waiting.end();
  return meter.outcome(tasks, total);
}

/** Starts `count` tasks and resolves when all of them wait at a gate. */
async function startWaiting(count, body) {
  const gate = new Gate();
  let arrived = 0;
  const wait = () => {
    arrived++;
    return gate.opened;
  };
  const tasks = startAll(count, (index) => body(index, wait));
  while (arrived < count) await yieldNow();
  return {
    end() {
      gate.open();
      return joinAll(tasks);
    },
  };
}

// share

async function counter({ iterations, tasks_count: tasks, additions_count: additionsEach, means }) {
  if (means > 0) throw new Failure('not_supported', NO_CHANNEL);
  const additions = additionsEach * iterations;
  const [meter, team] = [new Meter(), new Team()];
  let count = 0;
  for (let i = 0; i < tasks; i++) {
    team.add(() => {
      for (let done = 0; done < additions; done++) count++; // No other task runs before the next await.
      return 0;
    });
  }
  await team.timed(meter);
  return meter.outcome(tasks * additions, count);
}

// io

async function sleepers({ iterations, tasks_count: tasks, sleep_ns: ns }) {
  const meter = new Meter();
  const total = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) handed += await joinAll(startAll(tasks, (index) => sleep(ns / 1e6, index + 1)));
    return handed;
  });
  return meter.outcome(iterations * tasks, total, { metrics: { over_ns: meter.elapsed / iterations - ns } });
}

/** Answers each request of a burst by a separate write. */
function answerEach(socket, bytes) {
  socket.on('data', (block) => {
    for (let at = 0; at < block.length; at += bytes) socket.write(block.subarray(at, at + bytes));
  });
}

async function tcpEcho(order) {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    if (order.burst_count) answerEach(socket, order.payload_bytes);
    else socket.pipe(socket);
  });
  const meter = new Meter();
  const { stdout } = await meter.time(async () => {
    server.listen({ host: '127.0.0.1', port: 0, backlog: order.connections_count });
    await once(server, 'listening');
    const report = await promisify(execFile)(process.env.THREADBARE_LOAD, [
      'load', '--address', `127.0.0.1:${server.address().port}`, '--connections', order.connections_count,
      '--payload-bytes', order.payload_bytes, '--requests', order.requests_count * order.iterations,
      '--offered-per-s', order.offered_per_s ?? 0, '--load-percent', order.load_percent ?? 0, '--burst', order.burst_count ?? 1,
    ].map(String), { maxBuffer: Infinity });
    server.close();
    await once(server, 'close');
    return report;
  });
  // The generator is a child, whose usage the meter does not include.
  return { ...JSON.parse(stdout), ...meter.used };
}

async function fanout({ iterations, requests_count: requests, waits_count: waits, wait_ns: ns, steps_count: steps }) {
  const meter = new Meter();
  const total = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) {
      handed += await joinAll(startAll(requests, async (index) => {
        const waiting = startAll(waits, () => sleep(ns / 1e6, 1));
        return (lehmer(index, steps) % 1000) + (await joinAll(waiting));
      }));
    }
    return handed;
  });
  return meter.outcome(iterations * requests, total);
}

async function fileRead({ iterations, tasks_count: tasks, file_bytes: size, block_bytes: block, cold }) {
  if (cold) throw new Failure('not_supported', 'Node has no posix_fadvise, by which the kernel forgets pages');
  return withFiles(tasks, size, async (paths) => {
    const meter = new Meter();
    const total = await meter.time(async () => {
      let handed = 0;
      for (let i = 0; i < iterations; i++) handed += await joinAll(startAll(tasks, (index) => addUp(paths[index], block)));
      return handed;
    });
    return meter.outcome(iterations * tasks, total);
  });
}

const SHAPES = {
  'spawn.one': spawnOne, 'spawn.batch': spawnBatch, 'spawn.first_instruction': firstInstruction, 'spawn.skynet': skynet,
  'switch.yield': yields, 'switch.hog': hog,
  'memory.parked': parked, 'memory.deep': deep, 'memory.shrink': shrink, 'memory.million': parked,
  'share.counter': counter,
  'io.sleepers': sleepers, 'io.tcp_echo': tcpEcho, 'io.tcp_latency': tcpEcho, 'io.tcp_burst': tcpEcho, 'io.fanout': fanout, 'io.file_read': fileRead,
  'service.http': serviceHttp,
};
