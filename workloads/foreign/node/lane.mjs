// Runs the suite's workloads on promises or worker threads. Reads requests from
// stdin and answers on stdout, one JSON object a line, as PROTOCOL.md says.
// Needs only Node 18 or later.

import { parseArgs } from 'node:util';
import { cpus } from './measure.mjs';
import { serve } from './protocol.mjs';

const LANES = { 'node-async': './async.mjs', 'node-worker': './workers.mjs' };

const { values } = parseArgs({ options: { lane: { type: 'string' } } });
const module = LANES[values.lane];
if (!module) {
  console.error(`usage: node lane.mjs --lane ${Object.keys(LANES).join('|')}`);
  process.exit(2);
}
// The size of the pool with which libuv reads files. libuv starts it at its first use.
process.env.UV_THREADPOOL_SIZE = String(cpus());
await serve(values.lane, await import(module));
// At once, even if a failed sample has left tasks.
process.exit(0);
