import { createHash, randomBytes } from "node:crypto";

/** In the order of ASCII, so that ids sort as the numbers in them do. */
const ALPHABET = "234567abcdefghijklmnopqrstuvwxyz";
const TIME_LENGTH = 10;
const RANDOM_LENGTH = 16;

/** A new job's id: ten characters of the time in milliseconds since 1970, and 80 random bits. */
export const newWorkId = (now: number): string => workId(now, randomBytes(RANDOM_LENGTH));

/** The one id of the job for a name's slot, such as a schedule's: whoever computes it gets the same. */
export const slotWorkId = (slot: number, ...names: string[]): string =>
  workId(slot, createHash("sha256").update(JSON.stringify(names)).digest());

/** A new sealing key's id, 75 random bits. */
export const newSealingKeyId = (): string => `k${letters(randomBytes(15), 15)}`;

function workId(time: number, random: Uint8Array): string {
  let left = BigInt(time);
  let text = "";
  for (let i = 0; i < TIME_LENGTH; i++) {
    text = ALPHABET[Number(left & 31n)] + text;
    left >>= 5n;
  }
  return `j${text}${letters(random, RANDOM_LENGTH)}`;
}

const letters = (bytes: Uint8Array, count: number): string =>
  Array.from(bytes.subarray(0, count), (byte) => ALPHABET[byte & 31]).join("");
