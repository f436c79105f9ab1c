export class Failure extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}
