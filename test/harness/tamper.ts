import { expect, test } from "vitest";
import type { Fault } from "../../services/shared/receipts/broken.ts";
import type { CheckpointKeys } from "../../services/shared/receipts/checkpoint-keys.ts";
import type { ExportLine } from "../../services/shared/receipts/export.ts";
import { chainHash, type Entry } from "../../services/shared/receipts/receipt.ts";
import { at, chainOf, ORG, twelveUses } from "./receipt-chain.ts";
import { keysOf, verified } from "./receipts.ts";
import { memorySigner } from "./signer.ts";

/** A line as a tamperer sees it. */
// biome-ignore lint/suspicious/noExplicitAny: lines of every form, and none
export type Line = any;
export type Tamper = (lines: Line[]) => unknown[] | Promise<unknown[]>;
export type Case = [name: string, tamper: Tamper, fault: Fault, sequence?: number];

export const DAY_MS = 24 * 3600_000;
export const signer = memorySigner();
export const other = memorySigner();
export const CHECKPOINTS = [8, 16, 20];
export const keys: CheckpointKeys = await keysOf(signer);
/** 24 entries with checkpoints after 8, 16 and 20. */
export const honest: readonly ExportLine[] = await chainOf(twelveUses(), signer, {
  checkpoints: CHECKPOINTS,
});

export const copy = (lines: readonly unknown[]): Line[] => structuredClone(lines) as Line[];
export const isEntry = (sequence: number) => (line: Line) => line.entry?.sequence === sequence;
export const place = (lines: Line[], sequence: number) => lines.findIndex(isEntry(sequence));
export const line = (lines: Line[], sequence: number): Line => lines.find(isEntry(sequence));
export const checkpoints = (lines: Line[]): Line[] => lines.filter((each) => each.checkpoint !== undefined);
export const without = (lines: Line[], ...gone: Line[]) => lines.filter((each) => !gone.includes(each));
export const decoded = (jws: string) =>
  jws
    .split(".")
    .map((part, index) => (index < 2 ? JSON.parse(Buffer.from(part, "base64url").toString()) : part));
export const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
export const entriesOf = (lines: Line[]): Entry[] =>
  lines.flatMap((each) => (each.entry ? [each.entry] : []));

/** Computes every hash anew, as whoever holds the store can, and keeps the checkpoints as they are. */
export function rechained(lines: Line[]): Line[] {
  let end = lines[0].chain.after;
  return lines.map((each) => {
    if (each.end) return { end };
    if (!each.entry) return each;
    end = { sequence: each.entry.sequence, hash: chainHash(end.hash, each.entry) };
    return { entry: each.entry, hash: end.hash };
  });
}

export const change =
  (sequence: number, changes: object): Tamper =>
  (lines) => {
    Object.assign(line(lines, sequence).entry, changes);
    return lines;
  };
/** Changes an entry and computes the chain anew from there on. */
export const rewrite =
  (sequence: number, changes: object): Tamper =>
  (lines) =>
    rechained(change(sequence, changes)(lines) as Line[]);
export const put =
  (find: (lines: Line[]) => Line, changes: object): Tamper =>
  (lines) => {
    Object.assign(find(lines), changes);
    return lines;
  };
/** Replaces the JWS of the checkpoint after entry 16. */
export const forge =
  (make: (jws: string) => string | Promise<string>): Tamper =>
  async (lines) => {
    const target = checkpoints(lines)[1];
    target.checkpoint = await make(target.checkpoint);
    return lines;
  };
/** Changes the header of that checkpoint, and leaves its signature. */
export const withHeader = (changes: object) =>
  forge((jws) => {
    const [header, payload, signature] = decoded(jws);
    return [encoded({ ...header, ...changes }), encoded(payload), signature].join(".");
  });
/** A checkpoint with another header, signed by the platform's own key all the same. */
export const signedWith = (make: (header: object) => object) =>
  forge(async (jws) => {
    const [header, payload] = decoded(jws);
    return signer.signInput(`${encoded(make(header))}.${encoded(payload)}`);
  });

/** What the checkpoint after entry 16 says, with changes. */
export const payload = (changes: object = {}) => ({
  ...{ org: ORG, sequence: 16, hash: line([...honest], 16).hash, at: at(16) },
  ...changes,
});

/** Has each case found and named: what is wrong, and the first entry that is. */
export function finds(cases: readonly Case[]): void {
  test.each(cases)("%s", async (_name, tamper, fault, sequence) => {
    const lines = await tamper(copy(honest));
    expect(lines).not.toEqual(honest);
    const problem = await verified(lines, keys, { org: ORG }).catch((error: unknown) => error);
    expect(problem).toMatchObject({ name: "BrokenReceipts", fault, sequence });
  });
}
