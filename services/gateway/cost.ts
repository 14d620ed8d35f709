/**
 * What a request costs beside its being one, in units: a plain read with an answer of a few KiB is one, for the
 * gateway and for the Vault that answers it. A body of 1 MiB costs its Vault some hundred reads, each name or
 * list element in a body some 20 µs (check-body.ts), and an answer of 1 MiB some thirty reads.
 */
const BODY_BYTES = 4 * 1024;
const BODY_PARTS = 16;
const ANSWER_BYTES = 16 * 1024;
/** Lines of a head, of which clients send about ten. */
const HEAD_LINES = 32;

/** What a body in too many pieces is charged: more than it costs until it is cut off, so that few of them are tried. */
export const UNITS_OF_PIECES = 64;

/** Extra units of a body by its length. */
export const unitsOfBody = (bytes: number): number => Math.floor(bytes / BODY_BYTES);

/** Extra units of a body by the names and list elements in it. */
export const unitsOfParts = (parts: number): number => Math.floor(parts / BODY_PARTS);

/** Extra units of an answer by its length. */
export const unitsOfAnswer = (bytes: number): number => Math.floor(bytes / ANSWER_BYTES);

/** All units of a request by its head, as Node gives it (`rawHeaders`: each line's name and its value). */
export const unitsOfHead = ({ rawHeaders }: { rawHeaders: readonly string[] }): number =>
  1 + Math.floor(rawHeaders.length / (2 * HEAD_LINES));
