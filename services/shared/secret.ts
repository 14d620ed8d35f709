import { inspect } from "node:util";

const REDACTED = "[secret]";

/**
 * A value that cannot be logged, serialized or interpolated by accident: every implicit conversion returns `[secret]`,
 * and only {@link Secret.reveal} returns the text.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The text itself. Call it only where the value leaves the process, and never store the result. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [Symbol.toPrimitive](): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
