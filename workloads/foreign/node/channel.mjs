// What JavaScript leaves to its users: a bounded channel, a lock and a gate
// for tasks on one thread.

/** A bounded queue with promises for those that wait on either side. */
export class Channel {
  #capacity;
  #items = [];
  #head = 0;
  #receivers = [];
  #senders = [];

  constructor(capacity) {
    this.#capacity = Math.max(capacity, 1);
  }

  /** Resolves once there was room. */
  async send(item) {
    const receiver = this.#receivers.shift();
    if (receiver) return receiver(item);
    if (this.#items.length - this.#head >= this.#capacity) {
      await new Promise((resolve) => this.#senders.push(() => { this.#items.push(item); resolve(); }));
      return undefined;
    }
    this.#items.push(item);
    return undefined;
  }

  async receive() {
    if (this.#head === this.#items.length) return new Promise((resolve) => this.#receivers.push(resolve));
    const item = this.#items[this.#head++];
    if (this.#head === this.#items.length || this.#head > 1024) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    this.#senders.shift()?.();
    return item;
  }
}

/** A lock that serves in the order of asking. */
export class Lock {
  #held = false;
  #waiting = [];

  async acquire() {
    if (this.#held) await new Promise((resolve) => this.#waiting.push(resolve));
    this.#held = true;
  }

  release() {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#held = false;
  }
}

/** Something on which any number of tasks wait until it is opened once. */
export class Gate {
  constructor() {
    this.opened = new Promise((resolve) => { this.open = resolve; });
  }
}
