import { Effort, ResponseBlocked } from "./effort.ts";
import type { Scrubber } from "./scrubber.ts";

export { ResponseBlocked } from "./effort.ts";

export interface StreamLimits {
  /** Bytes that are held back because a secret may begin there; 256 KiB unless given. */
  held?: number;
}

const MOST_HELD = 256 * 1024;
/** More is searched in pieces. */
const PIECE = 64 * 1024;
/** What honest texts cost is far less than a step a byte. */
const FIRST_EFFORT = 16 * 1024 * 1024;
const EFFORT_A_BYTE = 16;
/** Reading so little again costs nothing. */
const SMALL = 512;

/**
 * Removes secrets from a stream: what comes out is what `Scrubber.scrub` makes of the whole, whatever its chunks are. It holds
 * back only what may be the beginning of a secret, so a stream's last words need not wait for the next ones.
 */
export class ScrubStream {
  readonly #scrubber: Scrubber;
  readonly #mostHeld: number;
  readonly #effort = new Effort(FIRST_EFFORT);
  #held: Buffer = Buffer.alloc(0);
  /** The last byte that has left. */
  #before: number | undefined;

  constructor(scrubber: Scrubber, { held = MOST_HELD }: StreamLimits = {}) {
    this.#scrubber = scrubber;
    this.#mostHeld = held;
  }

  /**
   * What may pass on now; maybe a part of `chunk` itself. Throws {@link ResponseBlocked} if a secret cannot be excluded: then the
   * stream must end without what is held.
   */
  push(chunk: Buffer): Buffer {
    if (chunk.length <= PIECE) return this.#take(chunk, false);
    const clean: Buffer[] = [];
    for (let at = 0; at < chunk.length; at += PIECE) {
      clean.push(this.#take(chunk.subarray(at, at + PIECE), false));
    }
    return Buffer.concat(clean);
  }

  /** What was held back, once the stream has ended. Throws as {@link push} does. */
  end(): Buffer {
    return this.#take(Buffer.alloc(0), true);
  }

  #take(chunk: Buffer, isLast: boolean): Buffer {
    this.#effort.add(EFFORT_A_BYTE * chunk.length);
    if (this.#held.length > SMALL) this.#effort.spend(this.#held.length);
    const text = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const { clean, rest } = this.#scrubber.scrubPart(text, { before: this.#before, isLast }, this.#effort);
    if (rest.length > this.#mostHeld) {
      throw new ResponseBlocked(`more than ${this.#mostHeld} bytes of the answer may contain the credential`);
    }
    if (rest.length < text.length) this.#before = text[text.length - rest.length - 1];
    // A copy: the chunk may be a small part of a large buffer.
    this.#held = Buffer.from(rest);
    return clean;
  }
}
