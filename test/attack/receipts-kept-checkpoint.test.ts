import { describe, expect, test } from "vitest";
import { chainHash, chainStart } from "../../services/shared/receipts/receipt.ts";
import {
  at,
  BEGAN,
  chainOf,
  checkpoint,
  completionOf,
  intentAt,
  ORG,
  twelveUses,
} from "../harness/receipt-chain.ts";
import { verified } from "../harness/receipts.ts";
import {
  CHECKPOINTS,
  checkpoints,
  copy,
  DAY_MS,
  entriesOf,
  honest,
  keys,
  type Line,
  line,
  other,
  payload,
  place,
  rewrite,
  signer,
} from "../harness/tamper.ts";

describe("a checkpoint that was kept", () => {
  const kept = (index: number): string => checkpoints(copy(honest))[index].checkpoint;
  /** The chain as somebody wrote it anew, signed by the platform as if nothing had been. */
  const another = async (length: number, from: number) => {
    const entries = twelveUses()
      .slice(0, length)
      .map((entry) =>
        entry.sequence < from ? entry : { ...entry, id: entry.id.replace("request", "forged") },
      );
    return chainOf(entries, signer, { checkpoints: CHECKPOINTS });
  };

  test.each([0, 1, 2])("is in the chain from which it came (%i)", async (index) => {
    expect((await verified(honest, keys, { since: kept(index) })).end.sequence).toBe(24);
  });
  test("shows that the chain was cut back to an earlier checkpoint", async () => {
    const lines = await another(18, 99);
    expect((await verified(lines, keys)).end.sequence).toBe(18);
    await expect(verified(lines, keys, { since: kept(2) })).rejects.toMatchObject({
      fault: "cut_back",
      sequence: 19,
    });
  });
  test("shows that the chain was rewritten, though the platform has signed what it became", async () => {
    const lines = await another(24, 5);
    expect((await verified(lines, keys)).end.sequence).toBe(24);
    await expect(verified(lines, keys, { since: kept(1) })).rejects.toMatchObject({
      fault: "rewritten",
      sequence: 16,
    });
  });
  test("shows that the chain was begun anew", async () => {
    const lines = await another(24, 1);
    await expect(verified(lines, keys, { since: kept(0) })).rejects.toMatchObject({
      fault: "rewritten",
      sequence: 8,
    });
  });
  test("shows that the beginning is gone too early, whatever else is there", async () => {
    const after = { sequence: 12, hash: (line(copy(honest), 12) as Line).hash };
    const lines = await chainOf(twelveUses().slice(12), signer, { checkpoints: CHECKPOINTS, after });
    await expect(verified(lines, keys, { since: kept(0) })).rejects.toMatchObject({
      fault: "begins_late",
      sequence: 9,
    });
    expect((await verified(lines, keys, { since: kept(1) })).first).toBe(13);
  });
  test("of another organization is refused", async () => {
    const { checkpoint: since } = await checkpoint(signer, payload({ org: "o-globex" }));
    await expect(verified(honest, keys, { since })).rejects.toMatchObject({ fault: "other_organization" });
  });
  test("by another key is refused", async () => {
    const { checkpoint: since } = await checkpoint(other, payload());
    await expect(verified(honest, keys, { since })).rejects.toMatchObject({ fault: "checkpoint_unsigned" });
  });
  test("that is none is refused", async () => {
    await expect(verified(honest, keys, { since: "x" })).rejects.toMatchObject({
      fault: "checkpoint_unreadable",
    });
  });
});

describe("entries that are no longer kept", () => {
  const late = async (readAt: number, signedAt = at(12)) => {
    const after = { sequence: 12, hash: (line(copy(honest), 12) as Line).hash };
    const [first, ...lines] = await chainOf(
      twelveUses()
        .slice(12)
        .map((entry) => ({ ...entry, at: new Date(readAt - 60_000).toISOString() })),
      signer,
      { checkpoints: [24], after, readAt },
    );
    return [first, await checkpoint(signer, { org: ORG, ...after, at: signedAt }), ...lines];
  };
  test("are gone rightly if a checkpoint shows their age", async () => {
    expect(await verified(await late(BEGAN + 401 * DAY_MS), keys)).toMatchObject({ first: 13, unsigned: 0 });
  });
  test("are gone too early if the checkpoint is younger", async () => {
    const lines = await late(BEGAN + 390 * DAY_MS);
    await expect(verified(lines, keys)).rejects.toMatchObject({ fault: "begins_late" });
  });
  test("may have been what later completions complete", async () => {
    const after = { sequence: 1, hash: chainHash(chainStart(ORG), intentAt(1)) };
    const old = await checkpoint(signer, { org: ORG, ...after, at: at(1) });
    const readAt = BEGAN + 401 * DAY_MS;
    const entry = completionOf(1, 2, { at: new Date(readAt).toISOString() });
    const [first, ...lines] = await chainOf([entry], signer, { after, readAt });
    expect(await verified([first, old, ...lines], keys)).toMatchObject({ first: 2, completions: 1 });
  });
});

describe("what verification cannot find", () => {
  test("entries after the newest checkpoint that were rewritten within minutes", async () => {
    const lines = (await rewrite(22, { status: 500 })(copy(honest))) as Line[];
    expect(await verified(lines, keys)).toMatchObject({ unsigned: 4 });
  });
  test("entries after the newest checkpoint that were cut off", async () => {
    const lines = copy(honest);
    const cut = lines.slice(0, place(lines, 20) + 2);
    expect(
      await verified([...cut, { end: { sequence: 20, hash: line(lines, 20).hash } }], keys),
    ).toMatchObject({ unsigned: 0 });
  });
  test("a chain cut back to an earlier checkpoint together with the later ones, if nobody has kept one", async () => {
    const lines = await chainOf(entriesOf(copy(honest)).slice(0, 16), signer, { checkpoints: [8, 16] });
    expect((await verified(lines, keys)).end.sequence).toBe(16);
  });
  test("false entries that the platform itself has signed", async () => {
    const entries = twelveUses().map((entry) => ({ ...entry, id: `false-${entry.id}` }));
    expect((await verified(await chainOf(entries, signer, { checkpoints: [24] }), keys)).unsigned).toBe(0);
  });
});
