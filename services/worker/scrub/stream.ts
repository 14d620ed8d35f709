import type { Scrubber } from "./scrubber.ts";

export class ResponseBlocked extends Error {
  override name = "ResponseBlocked";
}

export class ScrubStream {
  readonly #scrubber: Scrubber;
  #held: Buffer[] = [];

  constructor(scrubber: Scrubber) {
    this.#scrubber = scrubber;
  }

  push(chunk: Buffer): Buffer {
    this.#held.push(chunk);
    return Buffer.alloc(0);
  }

  end(): Buffer {
    return this.#scrubber.scrub(Buffer.concat(this.#held));
  }
}
