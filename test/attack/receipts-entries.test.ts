import { describe, expect, test } from "vitest";
import { chainHash, chainStart } from "../../services/shared/receipts/receipt.ts";
import { at, BEGAN, chainOf, completionOf, intentAt, ORG, twelveUses } from "../harness/receipt-chain.ts";
import { verified } from "../harness/receipts.ts";
import {
  type Case,
  CHECKPOINTS,
  change,
  checkpoints,
  copy,
  finds,
  honest,
  keys,
  line,
  place,
  put,
  rechained,
  rewrite,
  signer,
  without,
} from "../harness/tamper.ts";

const INTENT: Record<string, unknown> = {
  ...{ id: "request-99", action: "token", credential: "another", version: 2, host: "evil.example.com" },
  ...{
    method: "DELETE",
    pathPattern: "/**",
    rule: "all",
    bodyDigest: chainStart("x"),
    scopes: ["a", "b", "c"],
  },
  ...{ inUrl: undefined, at: at(99) },
  by: { issuer: "https://issuer.example", subject: "eve", level: "writer" },
};
const COMPLETION: Record<string, unknown> = {
  ...{
    outcome: "not_sent",
    failure: "other",
    status: 500,
    sentBytes: 0,
    receivedBytes: 1,
    ms: 1,
    scrubbed: 7,
  },
  ...{ of: 3, id: "request-3", bodyDigest: chainStart("x"), at: at(99) },
};
const changed: Case[] = [
  ...Object.entries(INTENT).map(
    ([name, value]): Case => [
      `an intent's ${name} is changed`,
      change(5, { [name]: value }),
      "wrong_hash",
      5,
    ],
  ),
  [
    "an intent's issuer is changed",
    change(5, { by: { issuer: "x", subject: "ada", level: "writer" } }),
    "wrong_hash",
    5,
  ],
  [
    "an intent's level is changed",
    change(5, { by: { issuer: "https://issuer.example", subject: "ada", level: "admin" } }),
    "wrong_hash",
    5,
  ],
  ["an intent becomes a schedule's", change(5, { by: { schedule: "nightly" } }), "wrong_hash", 5],
  ...Object.entries(COMPLETION).map(
    ([name, value]): Case => [
      `a completion's ${name} is changed`,
      change(6, { [name]: value }),
      "wrong_hash",
      6,
    ],
  ),
  ["an entry's hash is changed", put((lines) => line(lines, 7), { hash: chainStart("x") }), "wrong_hash", 7],
  ["the first entry is changed", change(1, { host: "x.example" }), "wrong_hash", 1],
  ["the last entry is changed", change(24, { status: 201 }), "wrong_hash", 24],
  ["an entry has a member more", change(5, { note: "x" }), "malformed", 5],
  ["an entry has no type", change(5, { type: undefined }), "malformed", 5],
  ["an intent becomes a completion", change(5, { type: "completion" }), "malformed", 5],
  ["an entry's sequence is a text", change(5, { sequence: "5" }), "malformed", 5],
  ["an entry's time is none, and the chain is computed anew", rewrite(21, { at: "soon" }), "malformed", 21],
  ["a negative count", change(6, { sentBytes: -1 }), "malformed", 6],
  [
    "the prototype of an entry is given",
    (lines) => {
      lines[5] = JSON.parse(JSON.stringify(lines[5]).replace('"entry":{', '"entry":{"__proto__":{},'));
      return lines;
    },
    "malformed",
    5,
  ],
];

const moved: Case[] = [
  ["the first entry is dropped", (lines) => without(lines, line(lines, 1)), "wrong_sequence", 1],
  ["an entry in the middle is dropped", (lines) => without(lines, line(lines, 9)), "wrong_sequence", 9],
  [
    "the last entry before a checkpoint is dropped",
    (lines) => without(lines, line(lines, 16)),
    "cut_back",
    16,
  ],
  ["the last entry is dropped", (lines) => without(lines, line(lines, 24)), "wrong_sequence", 24],
  ["a whole use is dropped", (lines) => without(lines, line(lines, 9), line(lines, 10)), "wrong_sequence", 9],
  ["all entries are dropped", (lines) => lines.filter((each) => !each.entry), "cut_back", 1],
  ["everything after a checkpoint is dropped", (lines) => lines.slice(0, place(lines, 16) + 2), "incomplete"],
  [
    "an entry is dropped and the rest renumbered",
    (lines) => {
      const rest = without(lines, line(lines, 9), line(lines, 10));
      for (const { entry } of rest) {
        if (entry?.sequence > 10) entry.sequence -= 2;
        if (entry?.of > 10) entry.of -= 2;
      }
      return rechained(rest);
    },
    "cut_back",
    15,
  ],
  [
    "two entries are swapped",
    (lines) => {
      [lines[3], lines[4]] = [lines[4], lines[3]];
      return lines;
    },
    "wrong_sequence",
    3,
  ],
  [
    "two entries swap their sequences too",
    (lines) => {
      const [a, b] = [line(lines, 11), line(lines, 13)];
      [a.entry.id, b.entry.id] = [b.entry.id, a.entry.id];
      return lines;
    },
    "wrong_hash",
    11,
  ],
  ["an entry stands twice", (lines) => lines.toSpliced(5, 0, lines[5]), "wrong_sequence", 6],
  [
    "an entry of this chain is inserted elsewhere",
    (lines) => lines.toSpliced(20, 0, lines[2]),
    "wrong_sequence",
    18,
  ],
  [
    "a new entry is inserted with a hash of its own",
    (lines) => {
      const entry = intentAt(6, { id: "inserted" });
      return lines.toSpliced(6, 0, { entry, hash: chainHash(lines[5].hash, entry) });
    },
    "wrong_sequence",
    7,
  ],
  [
    "an entry is appended without a hash that fits",
    (lines) => lines.toSpliced(-1, 0, { entry: intentAt(25), hash: chainStart("x") }),
    "wrong_hash",
    25,
  ],
  [
    "an entry is appended and the end left as it was",
    (lines) =>
      lines.toSpliced(-1, 0, { entry: intentAt(25), hash: chainHash(lines.at(-1).end.hash, intentAt(25)) }),
    "wrong_sequence",
    26,
  ],
  ["an entry is null", (lines) => lines.with(5, null), "malformed", 5],
  ["an entry is a list", (lines) => lines.with(5, [lines[5]]), "malformed", 5],
  [
    "a line has an entry and a checkpoint",
    (lines) => lines.with(5, { ...lines[5], checkpoint: "x" }),
    "malformed",
    5,
  ],
  ["a line has no hash", (lines) => lines.with(5, { entry: lines[5].entry }), "malformed", 5],
];

const rewritten: Case[] = [
  [
    "the chain is computed anew from an entry on",
    rewrite(5, { host: "x.example" }),
    "checkpoint_mismatch",
    8,
  ],
  [
    "the chain is computed anew from between two checkpoints",
    rewrite(12, { status: 500 }),
    "checkpoint_mismatch",
    16,
  ],
  [
    "the chain is computed anew from the last signed entry on",
    rewrite(20, { status: 500 }),
    "checkpoint_mismatch",
    20,
  ],
  [
    "the whole chain is another one with as many entries",
    async (lines) => {
      const forged = await chainOf(
        twelveUses().map((entry) => ({ ...entry, id: entry.id.replace("request", "forged") })),
        signer,
      );
      return [...forged.slice(0, 9), checkpoints(lines)[0], ...forged.slice(9)];
    },
    "checkpoint_mismatch",
    8,
  ],
  [
    "an intent is turned into another use, computed anew with its completion",
    (lines) => {
      Object.assign(line(lines, 5).entry, { id: "forged" });
      Object.assign(line(lines, 6).entry, { id: "forged" });
      return rechained(lines);
    },
    "checkpoint_mismatch",
    8,
  ],
  [
    "a use is inserted and the chain computed anew",
    (lines) => {
      for (const { entry } of lines) {
        if (entry?.sequence > 4) entry.sequence += 2;
        if (entry?.of > 4) entry.of += 2;
      }
      const forged = [intentAt(5, { id: "forged" }), completionOf(5, 6, { id: "forged" })];
      return rechained(lines.toSpliced(5, 0, ...forged.map((entry) => ({ entry, hash: "" }))));
    },
    "checkpoint_misplaced",
    8,
  ],
  [
    "the tail is cut behind a checkpoint that is left",
    (lines) => {
      const cut = lines.slice(0, place(lines, 18) + 1);
      return [...cut, checkpoints(lines)[2], { end: { sequence: 18, hash: cut.at(-1).hash } }];
    },
    "cut_back",
    19,
  ],
  [
    "the chain is cut back to nothing, with its checkpoints",
    (lines) => [lines[0], ...checkpoints(lines), { end: lines[0].chain.after }],
    "cut_back",
    1,
  ],
  [
    "the beginning is cut off",
    (lines) => {
      lines[0].chain.after = { sequence: 4, hash: line(lines, 4).hash };
      return without(lines, ...[1, 2, 3, 4].map((sequence) => line(lines, sequence)));
    },
    "begins_late",
    1,
  ],
  [
    "the beginning is cut off up to a checkpoint that is left",
    (lines) => {
      lines[0].chain.after = { sequence: 8, hash: line(lines, 8).hash };
      return without(lines, ...[1, 2, 3, 4, 5, 6, 7, 8].map((sequence) => line(lines, sequence)));
    },
    "begins_late",
    1,
  ],
  [
    "the beginning is cut off and the rest chained to something else",
    (lines) => {
      lines[0].chain.after = { sequence: 4, hash: chainStart("x") };
      return rechained(without(lines, ...[1, 2, 3, 4].map((sequence) => line(lines, sequence))));
    },
    "checkpoint_mismatch",
    8,
  ],
  [
    "all checkpoints are dropped",
    (lines) => {
      lines[0].chain.at = new Date(BEGAN + 3600_000).toISOString();
      return without(lines, ...checkpoints(lines));
    },
    "not_signed",
    1,
  ],
  [
    "the newest checkpoint is dropped and what it signed is old",
    (lines) => {
      lines[0].chain.at = new Date(BEGAN + 3600_000).toISOString();
      return without(lines, checkpoints(lines)[2]);
    },
    "not_signed",
    17,
  ],
  [
    "entries after the newest checkpoint are old",
    (lines) => {
      lines[0].chain.at = new Date(BEGAN + 3600_000).toISOString();
      return lines;
    },
    "not_signed",
    21,
  ],
];

const completions: Case[] = [
  [
    "an intent is completed twice",
    (lines) => {
      Object.assign(line(lines, 24).entry, { of: 21, id: "request-21" });
      return rechained(lines);
    },
    "unmatched_completion",
    24,
  ],
  ["a completion is of no entry", rewrite(24, { of: 99, id: "request-99" }), "unmatched_completion", 24],
  ["a completion is of a completion", rewrite(24, { of: 22, id: "request-21" }), "unmatched_completion", 24],
  ["a completion is of itself", rewrite(24, { of: 24 }), "unmatched_completion", 24],
  ["a completion has another request's id", rewrite(24, { id: "request-21" }), "unmatched_completion", 24],
  [
    "a completion comes before its intent",
    (lines) => {
      const [a, b] = [line(lines, 23), line(lines, 24)];
      [a.entry, b.entry] = [
        { ...b.entry, sequence: 23, of: 24 },
        { ...a.entry, sequence: 24 },
      ];
      return rechained(lines);
    },
    "unmatched_completion",
    23,
  ],
];

const frames: Case[] = [
  ["the export is empty", () => [], "incomplete"],
  ["there is no end", (lines) => lines.slice(0, -1), "incomplete"],
  ["there is no first line", (lines) => lines.slice(1), "malformed"],
  ["the first line stands twice", (lines) => [lines[0], ...lines], "malformed", 1],
  ["the end stands twice", (lines) => [...lines, lines.at(-1)], "malformed"],
  ["an entry after the end", (lines) => [...lines, lines[1]], "malformed"],
  [
    "the end names another sequence",
    (lines) => lines.with(-1, { end: { ...lines.at(-1).end, sequence: 25 } }),
    "wrong_sequence",
    25,
  ],
  [
    "the end names another hash",
    (lines) => lines.with(-1, { end: { ...lines.at(-1).end, hash: chainStart("x") } }),
    "wrong_hash",
    25,
  ],
  [
    "the first line names another organization",
    put((lines) => lines[0].chain, { org: "o-globex" }),
    "other_organization",
  ],
  [
    "another organization's whole chain",
    async () => chainOf(twelveUses(), signer, { org: "o-globex", checkpoints: CHECKPOINTS }),
    "other_organization",
  ],
  [
    "another organization's chain under this one's name",
    async (lines) => {
      const foreign = copy(
        await chainOf(twelveUses(), signer, { org: "o-globex", checkpoints: CHECKPOINTS }),
      );
      return [lines[0], ...foreign.slice(1)];
    },
    "wrong_hash",
    1,
  ],
  [
    "another organization's chain under this one's name, computed anew",
    async (lines) => {
      const foreign = copy(
        await chainOf(twelveUses(), signer, { org: "o-globex", checkpoints: CHECKPOINTS }),
      );
      return rechained([lines[0], ...foreign.slice(1)]);
    },
    "other_organization",
  ],
  [
    "the chain begins with another hash",
    put((lines) => lines[0].chain.after, { hash: chainStart("x") }),
    "other_organization",
  ],
  ["the export has no time", put((lines) => lines[0].chain, { at: "now" }), "malformed"],
];

test("what is honest verifies", async () => {
  expect(await verified(honest, keys, { org: ORG })).toMatchObject({
    ...{ org: ORG, first: 1, intents: 12, completions: 12, open: 0, checkpoints: 3, unsigned: 4 },
    ...{ end: { sequence: 24 }, signed: { sequence: 20 } },
  });
});

describe("an entry is changed", () => finds(changed));
describe("entries are dropped, moved, doubled, inserted", () => finds(moved));
describe("the chain is computed anew", () => finds(rewritten));
describe("completions do not match", () => finds(completions));
describe("the frame of an export", () => finds(frames));
