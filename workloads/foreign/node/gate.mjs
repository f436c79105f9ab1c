/** A gate: any number of tasks wait until it is opened once. */
export class Gate {
  constructor() {
    this.opened = new Promise((resolve) => { this.open = resolve; });
  }
}
