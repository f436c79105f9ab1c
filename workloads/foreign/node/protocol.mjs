// The lane's side of the protocol: one request, one answer.

import { writeSync } from 'node:fs';
import { PARAMETERS } from './catalogue.mjs';
import { Failure } from './failure.mjs';
import { cpus } from './measure.mjs';

const VERSION = 1;
const LONGEST_LINE = 1 << 20;
const MOST_ITERATIONS = 1e9;
const LIMITS = {
  EAGAIN: 'ulimit -u, pids.max or threads-max',
  ENOMEM: 'the memory of the host or cgroup',
  EMFILE: 'ulimit -n',
  ENFILE: 'file-max',
  ENOSPC: 'the space in TMPDIR',
  EADDRNOTAVAIL: 'ip_local_port_range',
  ERR_WORKER_INIT_FAILED: 'ulimit -u, pids.max, threads-max or the memory of the host',
  ERR_WORKER_OUT_OF_MEMORY: 'the memory of the host',
};

const requests = lines(process.stdin);

/** Requests a reading of the memory ledger from the study, in the middle of a sample. */
export async function readMemory() {
  say({ type: 'read_memory' });
  const { value, done } = await requests.next();
  if (done || parse(value).type !== 'memory_read') throw bad('the study took no reading of memory');
}

/** Answers requests until the request to quit or the end of the input. */
export async function serve(name, lane) {
  const refusals = Object.fromEntries(Object.keys(PARAMETERS).map((id) => [id, lane.refuses(id)]));
  say({
    type: 'hello', protocol: VERSION, lane: name, language: `node ${process.versions.node}`,
    runtime: `v8 ${process.versions.v8}, libuv ${process.versions.uv}`, pid: process.pid, cpus_count: cpus(),
    workloads: refusals,
  });
  for await (const line of requests) {
    let request;
    let answer;
    try {
      request = parse(line);
      if (request.type === 'quit') return;
      answer = { type: 'sample', ...(await lane.run(check(request, refusals))) };
    } catch (error) {
      answer = refusal(error);
    }
    const id = request?.id;
    say({ ...answer, id: Number.isSafeInteger(id) && id >= 0 ? id : 0 });
  }
}

/** Lines as bytes. Of a line beyond the limit, one byte more than is allowed. */
async function* lines(input) {
  let parts = [];
  let length = 0;
  for await (let chunk of input) {
    for (let end; (end = chunk.indexOf(10)) >= 0; chunk = chunk.subarray(end + 1)) {
      keep(chunk.subarray(0, end));
      yield Buffer.concat(parts);
      parts = [];
      length = 0;
    }
    keep(chunk);
  }
  if (length > 0) yield Buffer.concat(parts);

  function keep(part) {
    if (length <= LONGEST_LINE) parts.push(part);
    length += part.length;
  }
}

function say(message) {
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let sent = 0; sent < bytes.length;) {
    try {
      sent += writeSync(1, bytes, sent);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error; // EAGAIN: the pipe is full.
    }
  }
}

function bad(message) {
  return new Failure('bad_request', message);
}

function parse(line) {
  if (line.length > LONGEST_LINE) throw bad(`the line is longer than ${LONGEST_LINE} bytes`);
  let request;
  try {
    request = JSON.parse(line);
  } catch (error) {
    throw bad(`this is no request of the protocol: ${error.message}`);
  }
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw bad('this is no request of the protocol: no object');
  }
  return request;
}

/** The order that a request holds. */
function check(request, refusals) {
  const { type, workload, parameters, iterations } = request;
  if (type !== 'run') throw bad(`this is no request of the protocol: the type is ${type}, not run or quit`);
  if (typeof workload !== 'string' || typeof parameters !== 'object' || parameters === null) {
    throw bad('this is no request of the protocol: it needs workload, a text, and parameters, an object');
  }
  if (!Object.hasOwn(PARAMETERS, workload)) {
    throw bad(`unknown workload ${workload}; this lane knows ${Object.keys(PARAMETERS).join(', ')}`);
  }
  for (const { name, least } of PARAMETERS[workload]) {
    const value = parameters[name];
    if (!Number.isSafeInteger(value)) throw bad(`${workload} needs the parameter ${name}, a whole number`);
    if (value < least) throw bad(`${name} of ${workload} is ${value}; it must lie in ${least} to 2^53 - 1`);
  }
  if (!Number.isSafeInteger(iterations) || iterations < 1 || iterations > MOST_ITERATIONS) {
    throw bad(`iterations is ${iterations}; it must be 1 to ${MOST_ITERATIONS}`);
  }
  if (/^(memory|service)\./.test(workload) && iterations !== 1) {
    throw bad(`${workload} is one experiment: iterations must be 1`);
  }
  if (refusals[workload]) throw new Failure('not_supported', refusals[workload]);
  return { ...parameters, workload, iterations };
}

function refusal(error) {
  const limit = LIMITS[error?.code];
  if (error instanceof Failure) return { type: 'error', kind: error.kind, message: error.message };
  if (limit) return { type: 'error', kind: 'limit', message: `${error.message} (${error.code}); look at ${limit}` };
  return { type: 'error', kind: 'failed', message: String(error?.stack ?? error).slice(0, 1000) };
}
