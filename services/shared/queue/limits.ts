import type { ConsumeOptions, Outgoing } from "./queue.ts";

/** SQS's limits, which the embedded queue has too. */
const LONGEST_BODY = 1024 * 1024;
const LONGEST_DELAY_SECONDS = 900;
const LONGEST_VISIBILITY_SECONDS = 43_200;
/** The reason of a dead letter that was delivered too often. */
export const TOO_MANY_RECEIVES = "too-many-receives";
/** Seconds until a message comes again whose handler threw. */
export const THROWN_SECONDS = 1;
const LONGEST_REASON = 100;
/** All that XML 1.0 allows. JSON escapes the other characters, except for U+FFFE and U+FFFF. */
const BODY = /^[\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u;
const GROUP = /^[\w!"#$%&'()*+,\-./:;<=>?@[\\\]^`{|}~]{1,128}$/;

/** Throws a RangeError if SQS would refuse the message. */
export function checkOutgoing({ body, group, delaySeconds = 0 }: Outgoing): void {
  const bytes = Buffer.byteLength(body);
  if (bytes < 1 || bytes > LONGEST_BODY) throw new RangeError("a message has 1 byte to 1 MiB");
  if (!BODY.test(body)) throw new RangeError("a message has only characters that XML 1.0 allows");
  if (!GROUP.test(group)) throw new RangeError("a group is 1 to 128 letters, digits and punctuation marks");
  if (!(delaySeconds >= 0 && delaySeconds <= LONGEST_DELAY_SECONDS)) {
    throw new RangeError(`a delay is 0 to ${LONGEST_DELAY_SECONDS} seconds`);
  }
}

/** Throws a RangeError for numbers that make no sense. */
export function checkConsume(options: ConsumeOptions): void {
  const { concurrency, visibilitySeconds, maxReceives, perGroup = 1 } = options;
  for (const [name, value] of Object.entries({ concurrency, maxReceives, perGroup })) {
    if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name} is an integer from 1`);
  }
  if (!(visibilitySeconds > 0 && visibilitySeconds <= LONGEST_VISIBILITY_SECONDS)) {
    throw new RangeError(`visibilitySeconds is at most ${LONGEST_VISIBILITY_SECONDS}`);
  }
}

/** A retry's wait within SQS's limit of 12 hours. */
export const retryWait = (seconds: number): number =>
  Math.min(Math.max(0, Math.ceil(seconds)), LONGEST_VISIBILITY_SECONDS);

/** A reason as it can be kept with a dead letter. */
export const reasonText = (reason: string): string =>
  reason.replace(/[^\x20-\x7e]/g, "?").slice(0, LONGEST_REASON) || "unknown";
