// The program of a worker of the lane node-worker: it runs one task and posts its result.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { addUp } from './files.mjs';
import { descend } from './kernels/descend.mjs';
import { KERNELS } from './kernels/index.mjs';
import { keepTime, now } from './measure.mjs';

const began = now();
const [ARRIVED, OPEN] = [0, 1];

/** Blocks the thread until the gate is open. */
function wait(gate) {
  Atomics.add(gate, ARRIVED, 1);
  Atomics.wait(gate, OPEN, 0);
}

/** Answers messages until it receives `null`. */
async function answer(reply) {
  parentPort.postMessage(null);
  for (;;) {
    const [message] = await once(parentPort, 'message');
    if (message === null) return undefined;
    parentPort.postMessage(reply(message));
  }
}

const TASKS = {
  number: ({ number }) => number,
  clock: () => began,
  increment: () => answer((token) => token + 1),
  sinceSent: () => answer((sent) => now() - sent),

  hog({ ns }) {
    for (const end = now() + ns; now() < end;);
    return 1;
  },

  async sleepy({ gate, tick }) {
    const delays = [];
    await keepTime(tick, delays, () => {
      if (delays.length > 0) Atomics.store(gate, ARRIVED, 1);
      return Atomics.load(gate, OPEN) !== 0;
    });
    return delays;
  },

  parked({ gate, index }) {
    wait(gate);
    return index + 1;
  },

  deep: ({ gate, levels }) => descend(levels, () => wait(gate)),

  shrink({ gate, levels }) {
    const depth = descend(levels, () => {});
    wait(gate);
    return depth;
  },

  addAtomically({ gate, count, additions }) {
    wait(gate);
    for (let i = 0; i < additions; i++) Atomics.add(count, 0, 1);
    return 0;
  },

  async addByMessage({ gate, additions }) {
    const [{ port }] = await once(parentPort, 'message');
    wait(gate);
    for (let i = 0; i < additions; i++) port.postMessage(1);
    port.close();
    return 0;
  },

  async own({ gate, count }) {
    const [{ ports }] = await once(parentPort, 'message');
    wait(gate);
    let [total, received] = [0, 0];
    await new Promise((resolve) => {
      for (const port of ports) {
        port.on('message', (one) => {
          total += one;
          if (++received === count) resolve();
        });
      }
    });
    for (const port of ports) port.close();
    return total;
  },

  chunks({ gate, taken, workload, parameters, repeats }) {
    const chunk = KERNELS[workload](parameters);
    wait(gate);
    const count = parameters.chunks_count;
    let total = 0;
    for (let job; (job = Atomics.add(taken, 0, 1)) < count * repeats;) total += chunk(job % count);
    return total;
  },

  async sleeper({ index, ns }) {
    await sleep(ns / 1e6);
    return index + 1;
  },

  file: ({ path, block }) => addUp(path, block),
};

const result = await TASKS[workerData.task](workerData);
parentPort.postMessage({ result });
parentPort.unref();
