import { hash } from "node:crypto";
import type { UseCall } from "../../../../services/shared/broker/calls.ts";
import { dataFrames, jsonFrame } from "../../../../services/shared/broker/frames.ts";
import type { Intent, Receipt } from "../../../../services/shared/receipts/receipt.ts";
import type { TakenOverIntake } from "../../../harness/taken-over-intake.ts";
import { letGo } from "../../../harness/taken-over-intake.ts";
import { use, type Way } from "./way.ts";

/** A call that is let go by a receipt that says something else. */
const said = (way: string, intent: Partial<Intent>): Way =>
  use(`receipt: ${way}`, "receipt_mismatch", () => ({ intent }));

/** Frames of a call. */
const frames = (
  way: string,
  failure: Way["failure"],
  make: (call: UseCall, receipt: Receipt, thief: TakenOverIntake) => Uint8Array[] | Promise<Uint8Array[]>,
  changes: object = {},
): Way => ({
  ...{ way: `frames: ${way}`, failure },
  async attempt(thief) {
    const call = await thief.call(changes);
    const answer = await thief.frames(...(await make(call, thief.stage.receipt(call), thief)));
    return { ...answer.failed };
  },
});

const go = (way: string, receipt: (good: Receipt, call: UseCall) => unknown, failure: Way["failure"]): Way =>
  frames(`go with ${way}`, failure, (call, good) => [
    jsonFrame("call", call),
    jsonFrame("go", receipt(good, call)),
  ]);

const raw = (type: number, length: number, payload: Uint8Array = new Uint8Array()): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt8(type, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, payload]);
};
const text = (payload: string) => Buffer.from(payload);
const data = (bytes: string) => [...dataFrames(Buffer.from(bytes))];
const POST = { method: "POST", headers: [["Content-Type", "text/plain"]], body: Buffer.from("0123456789") };
const by = { issuer: "https://auth.strongroom.test/", subject: "u1", level: "writer" } as const;

/** Calls that are let go without their receipt, by one that describes another call, or by frames that are none. */
export const goings: Way[] = [
  said("of another call", { id: "00000000-0000-4000-8000-000000000000" }),
  ...(["token", "connect", "rotate", "revoke", "change-rules", "store-key"] as const).map((action) =>
    said(`of the action ${action}`, { action }),
  ),
  said("by another member", { by: { ...by, subject: "u2" } }),
  said("by a higher level", { by: { ...by, level: "admin" } }),
  said("by another issuer's member", { by: { ...by, issuer: "https://other.example" } }),
  said("by nobody's level", { by: { issuer: by.issuer, subject: by.subject } }),
  said("by a schedule", { by: { schedule: "nightly" } }),
  said("of another credential", { credential: "other" }),
  said("of another version", { version: 1 }),
  said("for another host", { host: "api.example.com" }),
  said("for the host in another case", { host: "API.EXAMPLE.COM" }),
  said("of another method", { method: "DELETE" }),
  said("of a method in another case", { method: "get" }),
  said("of a narrower pattern", { pathPattern: "/v1/charges" }),
  said("of another rule", { rule: "other" }),
  said("in the URL", { inUrl: true }),
  said("with scopes", { scopes: [] }),
  said("with a reason", { reason: "because" }),
  said("of a body, without one", { bodyDigest: "A".repeat(43) }),
  use("receipt: of another body", "receipt_mismatch", () => ({
    ...{ method: "POST" as const, headers: [["Content-Type", "text/plain"]] as [string, string][] },
    ...{ body: Buffer.from("evil"), intent: { bodyDigest: hash("sha256", "good", "base64url") } },
  })),
  {
    ...{ way: "receipt: of the call before", failure: "receipt_mismatch" },
    async attempt(thief) {
      const [before, call] = [await thief.call(), await thief.call()];
      const receipt = thief.stage.receipt(before);
      return { ...(await thief.frames(jsonFrame("call", call), jsonFrame("go", { receipt }))).failed };
    },
  },
  go("nothing", () => ({}), "malformed"),
  go("null", () => null, "malformed"),
  go("a list", () => [], "malformed"),
  go("a receipt that is true", () => ({ receipt: true }), "malformed"),
  go("a receipt without its hash", ({ entry }) => ({ receipt: { entry } }), "malformed"),
  go("a hash that is none", ({ entry }) => ({ receipt: { entry, hash: "x" } }), "malformed"),
  go("a member more", (receipt) => ({ receipt, more: 1 }), "malformed"),
  go(
    "an entry with a member more",
    ({ entry, hash: chained }) => ({
      receipt: { entry: { ...entry, more: 1 }, hash: chained },
    }),
    "malformed",
  ),
  go(
    "a sequence of zero",
    ({ entry, hash: chained }) => ({
      receipt: { entry: { ...entry, sequence: 0 }, hash: chained },
    }),
    "malformed",
  ),
  go(
    "a completion",
    ({ entry, hash: chained }, { id }) => ({
      receipt: {
        entry: {
          ...{ type: "completion", sequence: 2, at: entry.at, of: 1, id, outcome: "answered" },
          ...{ sentBytes: 0, receivedBytes: 0, ms: 0, scrubbed: 0 },
        },
        hash: chained,
      },
    }),
    "receipt_mismatch",
  ),
  frames("no go", "malformed", (call) => [jsonFrame("call", call)]),
  frames("the end instead of go", "malformed", (call) => [jsonFrame("call", call), jsonFrame("end", {})]),
  frames("data instead of go", "malformed", (call) => [jsonFrame("call", call), ...data("x")]),
  frames("a head instead of go", "malformed", (call) => [
    jsonFrame("call", call),
    jsonFrame("head", { status: 200, headers: [] }),
  ]),
  frames("the call twice", "malformed", (call) => [jsonFrame("call", call), jsonFrame("call", call)]),
  frames("go before the call", "malformed", (call, receipt) => [
    jsonFrame("go", { receipt }),
    jsonFrame("call", call),
  ]),
  frames("data before the call", "malformed", (call, receipt) => [
    ...data("x"),
    jsonFrame("call", call),
    jsonFrame("go", { receipt }),
  ]),
  frames("failed as the first", "malformed", () => [
    jsonFrame("failed", { failure: "internal", detail: "", isSent: false }),
  ]),
  frames(
    "the body before go",
    "malformed",
    (call, receipt) => [jsonFrame("call", call), ...data("0123456789"), jsonFrame("go", { receipt })],
    POST,
  ),
  frames(
    "go twice, the second in the body's place",
    "malformed",
    (call, receipt) => [
      ...[jsonFrame("call", call), jsonFrame("go", { receipt }), jsonFrame("go", { receipt })],
      ...[...data("0123456789"), jsonFrame("end", {})],
    ],
    POST,
  ),
  frames(
    "a body longer than announced",
    "malformed",
    (call, _, { stage }) => [...letGo(stage, call), ...data("0123456789and more"), jsonFrame("end", {})],
    POST,
  ),
  frames(
    "a body shorter than announced",
    "malformed",
    (call, _, { stage }) => [...letGo(stage, call), ...data("0123"), jsonFrame("end", {})],
    POST,
  ),
  frames(
    "a body without its end",
    "malformed",
    (call, _, { stage }) => [...letGo(stage, call), ...data("0123")],
    POST,
  ),
  frames(
    "a chunked body without its end",
    ["malformed", "cancelled"],
    (call, _, { stage }) => [
      ...letGo(stage, { ...call, request: { ...call.request, body: "chunked" } }),
      ...data("0123"),
    ],
    POST,
  ),
  frames(
    "a head within the body",
    "malformed",
    (call, _, { stage }) => [
      ...letGo(stage, call),
      ...data("0123"),
      jsonFrame("head", { status: 200, headers: [] }),
      ...data("456789"),
      jsonFrame("end", {}),
    ],
    POST,
  ),
  frames("nothing at all", "malformed", () => []),
  frames("a request of HTTP", "malformed", () => [text("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]),
  frames("of no type", "malformed", () => [raw(0, 2, text("{}"))]),
  frames("of an unknown type", "malformed", () => [raw(7, 2, text("{}"))]),
  frames("of 4 GiB", "malformed", () => [raw(1, 0xffffffff)]),
  frames("of a byte more than a call may have", "malformed", () => [raw(1, 512 * 1024 + 1)]),
  frames(
    "of data of a byte more than one may have",
    "malformed",
    (call, _, { stage }) => [...letGo(stage, call), raw(4, 256 * 1024 + 1)],
    POST,
  ),
  frames("cut in its head", "malformed", () => [Buffer.from([1, 0, 0])]),
  frames("cut in its payload", "malformed", () => [raw(1, 100, text("{"))]),
  frames("that is no JSON", "malformed", () => [raw(1, 1, text("{"))]),
  frames("that is null", "malformed", () => [raw(1, 4, text("null"))]),
  frames("that is no UTF-8", "malformed", () => [raw(1, 3, Buffer.from([0x22, 0xff, 0x22]))]),
  frames("nested very deep", "malformed", () => [raw(1, 500_000, text("[".repeat(500_000)))]),
  frames("an empty call", "malformed", () => [raw(1, 0)]),
  ...["method", "path", "headers", "body"].map((member) =>
    frames(`a request without its ${member}`, "malformed", (call) => [
      jsonFrame("call", { ...call, request: { ...call.request, [member]: undefined } }),
    ]),
  ),
  ...(["id", "token", "org", "credential", "request"] as const).map((member) =>
    frames(`a call without its ${member}`, "malformed", (call) => [
      jsonFrame("call", { ...call, [member]: undefined }),
    ]),
  ),
  frames("a call with a host of its own", "malformed", (call, _, { elsewhere }) => [
    jsonFrame("call", { ...call, request: { ...call.request, host: elsewhere.origin } }),
  ]),
  frames("a call with an address of its own", "malformed", (call) => [
    jsonFrame("call", { ...call, address: "127.0.0.1" }),
  ]),
  frames("a length that is negative", "malformed", (call) => [
    jsonFrame("call", { ...call, request: { ...call.request, body: { bytes: -1 } } }),
  ]),
  frames("a length and chunks", "malformed", (call) => [
    jsonFrame("call", { ...call, request: { ...call.request, body: { bytes: 1, chunked: true } } }),
  ]),
  frames("a method that is none", "malformed", (call) => [
    jsonFrame("call", { ...call, request: { ...call.request, method: "CONNECT" } }),
  ]),
  frames("a method with a line break", "malformed", (call) => [
    jsonFrame("call", { ...call, request: { ...call.request, method: "GET /v2 HTTP/1.1\r\nA: b" } }),
  ]),
  frames("an organization that is a path", "malformed", (call) => [
    jsonFrame("call", { ...call, org: "../x" }),
  ]),
  frames("an id that is a path", "malformed", (call) => [jsonFrame("call", { ...call, id: "../x" })]),
];
