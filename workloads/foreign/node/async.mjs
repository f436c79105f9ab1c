// The lane node-async: a task is an asynchronous function, all on one thread.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setImmediate as yieldNow, setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Channel, Gate, Lock } from './channel.mjs';
import { Failure } from './failure.mjs';
import { addUp, withFiles } from './files.mjs';
import { descendAsync } from './kernels/descend.mjs';
import { lehmer, next } from './kernels/lehmer.mjs';
import { array, goOver } from './kernels/working_set.mjs';
import { collectGarbage, histogram, keepTime, median, Meter, now, orCpus, sum, ticks } from './measure.mjs';
import { readMemory } from './protocol.mjs';
import { serviceHttp } from './service.mjs';

const NO_PIPES = 'Node has no call that makes a kernel pipe within a process';

export function refuses(workload) {
  if (workload.startsWith('cpu.')) return 'all promises run on one thread; see node-worker';
  if (/^(io\.tcp_|service\.)/.test(workload) && !process.env.THREADBARE_LOAD) return 'THREADBARE_LOAD does not name the load generator';
  return {
    'spawn.fork_rss': 'Node cannot fork: a child is another program',
    'switch.placement': 'all promises run on one thread',
    'switch.futex': 'all promises run on one thread, which a futex would block',
    'switch.pipe': NO_PIPES,
    'io.email': 'Node has no mail client of its own',
    'share.brigade': NO_PIPES,
    'io.pipe_ring': NO_PIPES,
  }[workload] ?? null;
}

export function run(order) {
  return SHAPES[order.workload](order);
}

/** Starts a task: its body runs when the caller next waits, not at once. */
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

/** Tasks that wait at a gate until all of them are there. */
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

  /** From opening the gate until all are joined; what they or the main task came to. */
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

async function passOn(from, to, times) {
  for (let i = 0; i < times; i++) await to.send((await from.receive()) + 1);
  return 0;
}

async function pingPong({ iterations, rounds_count: roundsEach, capacity_count: capacity = 0, workers_count: workers = 0 }) {
  if (workers > 1) throw new Failure('not_supported', 'all promises run on one thread; ask for one worker');
  const rounds = roundsEach * iterations;
  const [meter, team, there, back] = [new Meter(), new Team(), new Channel(capacity), new Channel(capacity)];
  team.add(() => passOn(there, back, rounds));
  await team.assemble();
  team.start();
  const value = await meter.time(async () => {
    let token = 0;
    for (let round = 0; round < rounds; round++) {
      await there.send(token);
      token = await back.receive();
    }
    return token;
  });
  await team.join();
  return meter.outcome(rounds, value);
}

async function ring({ iterations, tasks_count: tasks, hops_count: hopsEach }, size = 0, further = {}) {
  const hops = hopsEach * iterations;
  const [meter, team, end] = [new Meter(), new Team(), new Channel(1)];
  const channels = Array.from({ length: tasks }, () => new Channel(1));
  for (const [index, from] of channels.entries()) {
    const own = array(size);
    team.add(async () => {
      const turns = Math.floor(hops / tasks) + (index < hops % tasks);
      const to = channels[(index + 1) % tasks];
      let total = 0;
      for (let turn = 0; turn < turns; turn++) {
        const value = (await from.receive()) + 1;
        total += goOver(own);
        await (value === hops ? end : to).send(value);
      }
      return total;
    });
  }
  await team.assemble();
  team.start();
  const value = await meter.time(async () => {
    await channels[0].send(0);
    return end.receive();
  });
  return meter.outcome(hops, value + (await team.join()), further);
}

async function workingSet(order) {
  const { size_bytes: size, tasks_count: tasks } = order;
  if (size === 0) return ring(order);
  const arrays = Array.from({ length: tasks }, () => array(size));
  const start = now();
  for (let time = 0; time < 4; time++) arrays.forEach(goOver);
  const alone = (now() - start) / (4 * tasks);
  return ring(order, size, { metrics: { sum_alone_ns: alone } });
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

async function idleWake({ iterations, rounds_count: roundsEach, idle_ns: idle }) {
  const rounds = roundsEach * iterations;
  const [meter, team, there, back, wakes] = [new Meter(), new Team(), new Channel(0), new Channel(0), []];
  team.add(async () => {
    for (let round = 0; round < rounds; round++) {
      const sent = await there.receive();
      await back.send(now() - sent);
    }
    return 0;
  });
  await team.assemble();
  team.start();
  await meter.time(async () => {
    for (let round = 0; round < rounds; round++) {
      if (idle > 0) await sleep(idle / 1e6);
      await there.send(now());
      wakes.push(await back.receive());
    }
  });
  await team.join();
  const latency = histogram(wakes, meter.perSecond(rounds));
  return meter.outcome(rounds, wakes.length, { latency, metrics: { wake_ns: median(wakes) } });
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

/** Has the ledger read without and with tasks that wait. */
async function hold({ tasks_count: tasks, wait_ns: waitNs }, body) {
  await (await startWaiting(1, body)).end(); // What the first task costs is paid once.
  const meter = new Meter();
  collectGarbage(); // The first reading is of a heap without garbage. Nothing is collected by hand after it.
  await readMemory();
  const waiting = await meter.time(() => startWaiting(tasks, body));
  await sleep(waitNs / 1e6);
  await readMemory();
  const total = await waiting.end();
  return meter.outcome(tasks, total);
}

/** Resolves when all of so many tasks wait at a gate. */
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

async function produce(to, items, times) {
  for (let time = 0; time < times; time++) {
    for (let item = 1; item <= items; item++) await to.send(item);
  }
  return 0;
}

async function receive(from, count) {
  let total = 0;
  for (let i = 0; i < count; i++) total += await from.receive();
  return total;
}

async function counter({ iterations, tasks_count: tasks, additions_count: additionsEach, means, capacity_count: capacity }) {
  const additions = additionsEach * iterations;
  const [meter, team, lock] = [new Meter(), new Team(), new Lock()];
  let count = 0;
  if (means === 2) {
    const ones = new Channel(capacity);
    for (let i = 0; i < tasks; i++) team.add(() => produce(ones, 1, additions));
    team.add(() => receive(ones, tasks * additions));
    count = await team.timed(meter);
    return meter.outcome(tasks * additions, count);
  }
  const adders = [
    () => {
      for (let i = 0; i < additions; i++) count++; // No other task runs before the next await.
      return 0;
    },
    async () => {
      for (let i = 0; i < additions; i++) {
        await lock.acquire();
        count++;
        lock.release();
      }
      return 0;
    },
  ];
  if (!adders[means]) throw new Failure('bad_request', `means is ${means}; it must be 0, 1 or 2`);
  for (let i = 0; i < tasks; i++) team.add(adders[means]);
  await team.timed(meter);
  return meter.outcome(tasks * additions, count);
}

async function pipeline({ iterations, stages_count: stages, items_count: items, capacity_count: capacity }) {
  const count = items * iterations;
  const [meter, team, first] = [new Meter(), new Team(), new Channel(capacity)];
  team.add(async () => {
    for (let i = 0; i < iterations; i++) for (let item = 0; item < items; item++) await first.send(item);
    return 0;
  });
  let last = first;
  for (let stage = 0; stage < stages; stage++) {
    const [from, to] = [last, new Channel(capacity)];
    team.add(() => passOn(from, to, count));
    last = to;
  }
  const total = await team.timed(meter, () => receive(last, count));
  return meter.outcome(count * (stages + 1), total);
}

async function sieve({ iterations, limit_count: limit }) {
  let found = 0;
  const filter = async (from) => {
    const prime = await from.receive();
    if (prime === 0) return 0;
    found++;
    const to = new Channel(0);
    const next = spawn(() => filter(to));
    for (let number; (number = await from.receive()) !== 0;) if (number % prime !== 0) await to.send(number);
    await to.send(0);
    return prime + (await next);
  };
  const meter = new Meter();
  const total = await meter.time(async () => {
    let handed = 0;
    for (let i = 0; i < iterations; i++) {
      const numbers = new Channel(0);
      const source = spawn(async () => {
        for (let number = 2; number <= limit; number++) await numbers.send(number);
        await numbers.send(0);
        return 0;
      });
      handed += await joinAll([spawn(() => filter(numbers)), source]);
    }
    return handed;
  });
  return meter.outcome(found, total);
}

async function fanIn({ iterations, producers_count: producers, items_count: items, capacity_count: capacity }) {
  const count = iterations * producers * items;
  const [meter, team, numbers] = [new Meter(), new Team(), new Channel(capacity)];
  for (let i = 0; i < producers; i++) team.add(() => produce(numbers, items, iterations));
  const total = await team.timed(meter, () => receive(numbers, count));
  return meter.outcome(count, total);
}

async function select({ iterations, items_count: items }) {
  const [meter, team, channels, count] = [new Meter(), new Team(), [new Channel(0), new Channel(0)], 2 * items * iterations];
  for (const channel of channels) team.add(() => produce(channel, items, iterations));
  const total = await team.timed(meter, async () => {
    const next = (channel) => channel.receive().then((item) => [channel, item]);
    const waiting = new Map(channels.map((channel) => [channel, next(channel)]));
    let sum = 0;
    for (let received = 0; received < count; received++) {
      const [channel, item] = await Promise.race(waiting.values());
      sum += item;
      waiting.set(channel, next(channel));
    }
    return sum;
  });
  return meter.outcome(count, total);
}

async function workerPool({ iterations, workers_count: workersOrZero, jobs_count: jobs, steps_count: steps, capacity_count: capacity }) {
  const workers = orCpus(workersOrZero);
  const [meter, team, todo, done] = [new Meter(), new Team(), new Channel(capacity), new Channel(capacity)];
  for (let i = 0; i < workers; i++) {
    team.add(async () => {
      for (let job; (job = await todo.receive()) !== 0;) await done.send(lehmer(job, steps));
      return 0;
    });
  }
  team.add(async () => {
    await produce(todo, jobs, iterations);
    for (let i = 0; i < workers; i++) await todo.send(0);
    return 0;
  });
  const total = await team.timed(meter, () => receive(done, jobs * iterations));
  return meter.outcome(jobs * iterations, total);
}

async function boundedBuffer({ iterations, tasks_count: tasks, items_count: items, capacity_count: capacity }) {
  const [meter, team, buffer] = [new Meter(), new Team(), new Channel(capacity)];
  for (let i = 0; i < tasks; i++) {
    team.add(() => produce(buffer, items, iterations));
    team.add(() => receive(buffer, items * iterations));
  }
  const total = await team.timed(meter);
  return meter.outcome(iterations * tasks * items, total);
}

async function chameneos({ iterations, creatures_count: creatures, meetings_count: meetingsEach }) {
  if (creatures < 2) throw new Failure('bad_request', `creatures_count is ${creatures}; two must be there to meet`);
  const meetings = meetingsEach * iterations;
  const [meter, team, requests] = [new Meter(), new Team(), new Channel(creatures)];
  const answers = Array.from({ length: creatures }, () => new Channel(1));
  const answer = (request, value) => answers[Math.floor(request / 4)].send(value);
  for (const [creature, answered] of answers.entries()) {
    team.add(async () => {
      for (let met = 0, colour = creature % 3; ; met++) {
        await requests.send(4 * creature + colour);
        const got = await answered.receive();
        if (got === 0) return met;
        const other = got - 1;
        if (other !== colour) colour = 3 - colour - other;
      }
    });
  }
  team.add(async () => {
    for (let meeting = 0; meeting < meetings; meeting++) {
      const first = await requests.receive();
      const second = await requests.receive();
      await answer(first, (second % 4) + 1);
      await answer(second, (first % 4) + 1);
    }
    for (let i = 0; i < creatures; i++) await answer(await requests.receive(), 0);
    return 0;
  });
  const total = await team.timed(meter);
  return meter.outcome(meetings, total);
}

async function big({ iterations, tasks_count: tasks, pings_count: pingsEach }) {
  if (tasks < 2) throw new Failure('bad_request', `tasks_count is ${tasks}; two must be there to ask`);
  const pings = pingsEach * iterations;
  const [meter, team, finished] = [new Meter(), new Team(), new Channel(tasks)];
  const boxes = Array.from({ length: tasks }, () => new Channel(tasks + 1));
  for (const [index, own] of boxes.entries()) {
    team.add(async () => {
      let x = lehmer(index, 1);
      const ask = () => boxes[(index + 1 + (x % (tasks - 1))) % tasks].send(index + 1);
      await ask();
      for (let answers = 0; ;) {
        const message = await own.receive();
        if (message === 0) return answers;
        if (message <= tasks) {
          await boxes[message - 1].send(tasks + 1);
        } else if (++answers < pings) {
          x = next(x);
          await ask();
        } else {
          await finished.send(1);
        }
      }
    });
  }
  team.add(async () => {
    for (let i = 0; i < tasks; i++) await finished.receive();
    for (const box of boxes) await box.send(0);
    return 0;
  });
  const total = await team.timed(meter);
  return meter.outcome(tasks * pings, total);
}

async function philosophers({ iterations, tasks_count: tasks, rounds_count: roundsEach }) {
  if (tasks < 2) throw new Failure('bad_request', `tasks_count is ${tasks}; a philosopher alone has one fork only`);
  const rounds = roundsEach * iterations;
  const [meter, team] = [new Meter(), new Team()];
  const forks = Array.from({ length: tasks }, () => new Lock());
  for (let index = 0; index < tasks; index++) {
    const next = (index + 1) % tasks;
    const [low, high] = [forks[Math.min(index, next)], forks[Math.max(index, next)]];
    team.add(async () => {
      let meals = 0;
      for (let round = 0; round < rounds; round++) {
        await low.acquire();
        await high.acquire();
        meals++;
        high.release();
        low.release();
      }
      return meals;
    });
  }
  const total = await team.timed(meter);
  return meter.outcome(tasks * rounds, total);
}

async function messaging({ iterations, groups_count: groups, senders_count: senders, loops_count: loopsEach, capacity_count: capacity }) {
  const loops = loopsEach * iterations;
  const [meter, team] = [new Meter(), new Team()];
  for (let group = 0; group < groups; group++) {
    const receivers = Array.from({ length: senders }, () => new Channel(capacity));
    for (const receiver of receivers) team.add(() => receive(receiver, senders * loops));
    for (let i = 0; i < senders; i++) {
      team.add(async () => {
        for (let loop = 0; loop < loops; loop++) for (const receiver of receivers) await receiver.send(1);
        return 0;
      });
    }
  }
  const total = await team.timed(meter);
  return meter.outcome(groups * senders * senders * loops, total);
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

/** Answers each request of a burst by a write of its own. */
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
  // The generator is a child, whose use is not in the meter's.
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
  'switch.yield': yields, 'switch.pingpong': pingPong, 'switch.roundtrip': pingPong, 'switch.ring': ring, 'switch.hog': hog,
  'switch.working_set': workingSet, 'switch.idle_wake': idleWake,
  'memory.parked': parked, 'memory.deep': deep, 'memory.shrink': shrink, 'memory.million': parked,
  'share.counter': counter, 'share.pipeline': pipeline, 'share.sieve': sieve, 'share.fan_in': fanIn,
  'share.select': select,
  'share.worker_pool': workerPool, 'share.bounded_buffer': boundedBuffer, 'share.chameneos': chameneos,
  'share.big': big, 'share.philosophers': philosophers, 'share.messaging': messaging,
  'io.sleepers': sleepers, 'io.tcp_echo': tcpEcho, 'io.tcp_latency': tcpEcho, 'io.tcp_burst': tcpEcho, 'io.fanout': fanout, 'io.file_read': fileRead,
  'service.http': serviceHttp,
};
