// The service of service.http with node:http, as PROTOCOL.md says.

import { execFile, spawn } from 'node:child_process';
import { pbkdf2, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { PARAMETERS } from './catalogue.mjs';
import { lehmer } from './kernels/lehmer.mjs';
import { Meter } from './measure.mjs';

const ITEMS = 1000;
const USERS = 16;
const MOST_BODY_BYTES = 64 << 10;
const IDLE_MS = 60_000;
const SHOWN_LETTERS = 600;
const ROUTES = new Set(['/cheap', '/compute', '/fan-out', '/slow']);

class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const malformed = () => new Problem(400, 'this is no request of this service');
const unknown = () => new Problem(401, 'the key is wrong');
const noSuchPath = () => new Problem(404, 'there is nothing at this path');
const backendFailed = () => new Problem(502, 'the backend did not answer');
const tooMany = () => new Problem(503, 'too many requests at the same time');
const backendIsLate = () => new Problem(504, 'the backend did not answer in time');

export async function serviceHttp(order) {
  const given = PARAMETERS['service.http'].map(({ name }) => `${name}=${order[name]}`);
  const backend = spawn(process.env.THREADBARE_LOAD, ['backend', ...given], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const said = once(createInterface({ input: backend.stdout }), 'line');
    const ended = once(backend, 'exit').then(([status]) => Promise.reject(new Error(`the backend ended with ${status}`)));
    const [line] = await Promise.race([said, ended]);
    ended.catch(() => {}); // Its exit status does not matter to the lane.
    return await serveLoaded(order, JSON.parse(line).address, given);
  } finally {
    backend.stdin.end();
  }
}

async function serveLoaded(order, backend, given) {
  const meter = new Meter();
  const { stdout } = await meter.time(async () => {
    const service = new Service(order, backend);
    const address = await service.listen();
    try {
      return await promisify(execFile)(process.env.THREADBARE_LOAD, ['load-service', '--address', address, ...given], { maxBuffer: Infinity });
    } finally {
      service.end();
      await service.ended;
    }
  });
  const report = JSON.parse(stdout);
  // The report of a search describes only its last part, so the sample gets only that part's share of the
  // usage. The generator is a child, whose usage the meter does not include.
  const share = report.operations_count / report.metrics.load_asked_count;
  return { ...report, ...Object.fromEntries(Object.entries(meter.used).map(([name, value]) => [name, Math.round(value * share)])) };
}

/** The state that all requests share. */
class Service {
  #server = createServer({ noDelay: true, keepAliveTimeout: IDLE_MS, headersTimeout: IDLE_MS }, (request, response) => this.#serve(request, response));
  #hashes = new Map();
  #inFlight = 0;
  #ends = false;
  #order;
  #pool;

  constructor(order, backend) {
    this.#order = order;
    this.#pool = new Pool(backend, order.pool_count, order.timeout_ns / 1e6);
    this.ended = once(this.#server, 'close').then(() => this.#pool.close());
  }

  async listen() {
    for (let number = 0; number < USERS; number++) {
      const user = `u${number}`;
      this.#hashes.set(user, await this.#hash(user, `secret of ${user}`));
    }
    // The longest queue that the host allows.
    const [host, port] = (process.env.THREADBARE_LISTEN ?? '127.0.0.1:0').split(':');
    this.#server.listen({ host, port: Number(port), backlog: 65_535 });
    await once(this.#server, 'listening');
    return `${host}:${this.#server.address().port}`;
  }

  /** Accepts no more connections, and no more requests on open connections. */
  end() {
    if (this.#ends) return;
    this.#ends = true;
    // Requests that have arrived are read before connections without a request are closed.
    setImmediate(() => {
      this.#server.close();
      this.#server.closeIdleConnections();
    });
    setTimeout(() => this.#server.closeAllConnections(), IDLE_MS).unref();
  }

  async #serve(request, response) {
    let status = 200;
    let body;
    try {
      body = await this.#reply(request);
    } catch (error) {
      // A client that closes in the middle of its request needs no answer.
      if (request.destroyed && !request.complete) return;
      const problem = error instanceof Problem ? error : backendFailed();
      status = problem.status;
      body = JSON.stringify({ error: problem.message });
    }
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    if (this.#ends) headers.Connection = 'close';
    response.writeHead(status, headers).end(body);
  }

  async #reply(request) {
    const path = request.url;
    if (path === '/drain') {
      this.end();
      return '{}';
    }
    if (request.method !== 'POST' || !ROUTES.has(path)) throw noSuchPath();
    if (this.#inFlight >= this.#order.in_flight_count) throw tooMany();
    this.#inFlight++;
    try {
      const user = await this.#who(request.headers.authorization ?? '');
      const item = itemOf(await bodyOf(request));
      const values = await Promise.all(keysOf(path, item).map((key) => this.#pool.get(key)));
      const computed = path === '/compute' ? lehmer(item, this.#order.steps_count) % 1000 : 0;
      return answer(path.slice(1), user, item, computed, values);
    } finally {
      this.#inFlight--;
    }
  }

  /** The user of `Bearer USER:SECRET`. Computes the hash of the secret. */
  async #who(authorization) {
    const [, user, secret] = /^Bearer ([^:]*):(.*)$/.exec(authorization) ?? [];
    const right = this.#hashes.get(user);
    if (!right || !timingSafeEqual(await this.#hash(user, secret), right)) throw unknown();
    return user;
  }

  #hash(user, secret) {
    return hashOf(secret, user, this.#order.rounds_count, 32, 'sha256');
  }
}

/** On a thread of libuv's pool. */
const hashOf = promisify(pbkdf2);

async function bodyOf(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MOST_BODY_BYTES) throw malformed();
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function itemOf(body) {
  let item;
  try {
    ({ item } = JSON.parse(body));
  } catch {
    throw malformed();
  }
  if (!Number.isSafeInteger(item) || item < 0) throw malformed();
  return item % ITEMS;
}

function keysOf(path, item) {
  if (path === '/slow') return [`slow:${item}`];
  const items = path === '/fan-out' ? [item, item + 1, item + 2] : [item];
  return items.map((one) => `item:${one % ITEMS}`);
}

function answer(route, user, item, computed, values) {
  const shown = Math.floor(SHOWN_LETTERS / values.length);
  let [total, check] = [0, computed];
  const records = values.map((value) => {
    const { id, name, price, tags, text } = JSON.parse(value);
    total += price;
    check += id + (price % 1000) + name.length + tags.length + text.split(' ').length;
    return { id, name, price, tags, text: text.slice(0, shown) };
  });
  return JSON.stringify({ route, user, item, total, records, check });
}

/** A limited number of connections to the backend, each for one request at a time. */
class Pool {
  #host;
  #port;
  #free;
  #timeout;
  #links = [];
  #waiting = new Set();

  constructor(address, count, timeout) {
    const [host, port] = address.split(':');
    [this.#host, this.#port, this.#free, this.#timeout] = [host, Number(port), count, timeout];
  }

  async get(key) {
    const until = Date.now() + this.#timeout;
    await this.#acquire();
    try {
      const value = await this.#ask(key, until);
      if (value === null) throw backendFailed();
      return value;
    } finally {
      this.#release();
    }
  }

  async #ask(key, until) {
    for (;;) {
      const timeout = Math.max(until - Date.now(), 1);
      const used = this.#links.pop();
      const link = used ?? new Link(this.#host, this.#port);
      try {
        if (!used) await link.opened(timeout);
        const value = await link.get(key, timeout);
        this.#links.push(link);
        return value;
      } catch (error) {
        link.close();
        if (error instanceof Problem) throw error;
        // The backend may have closed a connection that was used before.
        if (!used) throw backendFailed();
      }
    }
  }

  #acquire() {
    if (this.#free > 0) {
      this.#free--;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const waiter = { resolve, timer: setTimeout(() => {
        this.#waiting.delete(waiter);
        reject(backendIsLate());
      }, this.#timeout) };
      this.#waiting.add(waiter);
    });
  }

  #release() {
    const [next] = this.#waiting;
    if (!next) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    clearTimeout(next.timer);
    next.resolve();
  }

  close() {
    for (const link of this.#links.splice(0)) link.close();
  }
}

class Link {
  #socket;
  #come = null;
  #waiting = null;

  constructor(host, port) {
    this.#socket = connect({ host, port, noDelay: true })
      .on('connect', () => this.#end(undefined))
      .on('data', (block) => this.#take(block))
      .on('timeout', () => this.#fail(backendIsLate()))
      .on('error', (error) => this.#fail(error))
      .on('close', () => this.#fail(new Error('the backend closed the connection')));
  }

  opened(timeout) {
    return this.#wait(timeout);
  }

  /** The value of a key; null if it has none. */
  get(key, timeout) {
    this.#come = null;
    const answered = this.#wait(timeout);
    this.#socket.write(`*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`);
    return answered;
  }

  close() {
    this.#socket.destroy();
  }

  #wait(timeout) {
    if (this.#socket.destroyed) return Promise.reject(new Error('the connection has ended'));
    this.#socket.setTimeout(timeout);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #take(block) {
    const come = this.#come ? Buffer.concat([this.#come, block]) : block;
    this.#come = come;
    const end = come.indexOf('\r\n');
    if (end < 0) return;
    const head = come.toString('latin1', 0, end);
    if (head === '$-1') {
      this.#end(null);
      return;
    }
    if (!/^\$\d{1,7}$/.test(head)) {
      this.#fail(new Error(`the backend answered ${head}`));
      return;
    }
    const [from, size] = [end + 2, Number(head.slice(1))];
    if (come.length >= from + size + 2) this.#end(come.toString('utf8', from, from + size));
  }

  #end(value) {
    this.#socket.setTimeout(0);
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve(value);
  }

  #fail(error) {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.reject(error);
    this.#socket.destroy();
  }
}
