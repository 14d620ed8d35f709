import { createHmac } from "node:crypto";
import { CHECKPOINT_TYPE, chainStart } from "../../services/shared/receipts/receipt.ts";
import { checkpoint } from "../harness/receipt-chain.ts";
import { type MemorySigner, memorySigner } from "../harness/signer.ts";
import {
  type Case,
  checkpoints,
  decoded,
  encoded,
  finds,
  forge,
  type Line,
  other,
  payload,
  put,
  signedWith,
  signer,
  withHeader,
} from "../harness/tamper.ts";

const resigned = (by: MemorySigner, changes: object = {}, typ?: string) =>
  forge(async () => (await checkpoint(by, payload(changes), typ)).checkpoint);
const signatures: Case[] = [
  ["a checkpoint is signed by another key with the same kid", resigned(other), "checkpoint_unsigned"],
  ["a checkpoint is signed by a key with another kid", resigned(memorySigner("directory")), "unknown_key"],
  [
    "a checkpoint's payload is changed",
    forge((jws) => {
      const [header, , signature] = jws.split(".");
      return [header, encoded(payload({ hash: chainStart("x") })), signature].join(".");
    }),
    "checkpoint_unsigned",
  ],
  [
    "a checkpoint has the signature of another one",
    (lines) => {
      const [first, second] = checkpoints(lines);
      const parts = second.checkpoint.split(".");
      second.checkpoint = [...parts.slice(0, 2), first.checkpoint.split(".")[2]].join(".");
      return lines;
    },
    "checkpoint_unsigned",
  ],
  [
    "alg none with an empty signature",
    forge((jws) => {
      const [header, payload] = decoded(jws);
      return `${encoded({ ...header, alg: "none" })}.${encoded(payload)}.`;
    }),
    "checkpoint_unreadable",
  ],
  ["alg none with the signature", withHeader({ alg: "none" }), "checkpoint_unreadable"],
  [
    "alg None, signed by the platform's key",
    signedWith((header) => ({ ...header, alg: "None" })),
    "checkpoint_unreadable",
  ],
  [
    "alg HS256 with the public key as the secret",
    forge(async (jws) => {
      const [header, payload] = decoded(jws);
      const input = `${encoded({ ...header, alg: "HS256" })}.${encoded(payload)}`;
      const secret = JSON.stringify((await signer.publicKeys())[0]);
      return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
    }),
    "checkpoint_unreadable",
  ],
  [
    "alg ES384, signed by the platform's key",
    signedWith((header) => ({ ...header, alg: "ES384" })),
    "checkpoint_unreadable",
  ],
  [
    "alg ES256K, signed by the platform's key",
    signedWith((header) => ({ ...header, alg: "ES256K" })),
    "checkpoint_unreadable",
  ],
  [
    "no alg, signed by the platform's key",
    signedWith(({ alg: _, ...header }: Line) => header),
    "checkpoint_unreadable",
  ],
  ["typ JWT, signed by the platform's key", resigned(signer, {}, "JWT"), "checkpoint_unreadable"],
  [
    "typ of the directory, signed by the platform's key",
    resigned(signer, {}, "strongroom-directory+jws"),
    "checkpoint_unreadable",
  ],
  [
    "typ in other letters, signed by the platform's key",
    resigned(signer, {}, CHECKPOINT_TYPE.toUpperCase()),
    "checkpoint_unreadable",
  ],
  [
    "no typ, signed by the platform's key",
    signedWith(({ typ: _, ...header }: Line) => header),
    "checkpoint_unreadable",
  ],
  [
    "a critical header, signed by the platform's key",
    signedWith((header) => ({ ...header, crit: ["b64"], b64: false })),
    "checkpoint_unreadable",
  ],
  [
    "a key in the header, and signed by it",
    forge(async () => {
      const [jwk] = await other.publicKeys();
      const header = { alg: "ES256", typ: CHECKPOINT_TYPE, kid: "receipts:1", jwk };
      return other.signInput(`${encoded(header)}.${encoded(payload())}`);
    }),
    "checkpoint_unreadable",
  ],
  [
    "a key's address in the header",
    signedWith((header) => ({ ...header, jku: "https://evil.example/keys" })),
    "checkpoint_unreadable",
  ],
  [
    "no kid, signed by the platform's key",
    signedWith(({ kid: _, ...header }: Line) => header),
    "checkpoint_unreadable",
  ],
  [
    "an unknown kid, signed by the platform's key",
    signedWith((header) => ({ ...header, kid: "receipts:2" })),
    "unknown_key",
  ],
  [
    "a kid that is a name of every object",
    signedWith((header) => ({ ...header, kid: "__proto__" })),
    "unknown_key",
  ],
  ["a kid that is no text", signedWith((header) => ({ ...header, kid: 1 })), "checkpoint_unreadable"],
  [
    "a signature of zeros",
    forge((jws) => [...jws.split(".").slice(0, 2), Buffer.alloc(64).toString("base64url")].join(".")),
    "checkpoint_unsigned",
  ],
  ["a signature that is shorter", forge((jws) => jws.slice(0, -4)), "checkpoint_unreadable"],
  ["a signature with padding", forge((jws) => `${jws}==`), "checkpoint_unreadable"],
  [
    "a signature whose last bits are not zero",
    forge((jws) => `${jws.slice(0, -1)}${jws.endsWith("B") ? "C" : "B"}`),
    "checkpoint_unreadable",
  ],
  ["a fourth part", forge((jws) => `${jws}.x`), "checkpoint_unreadable"],
  ["no text at all", forge(() => ""), "checkpoint_unreadable"],
  ["a line break after the JWS", forge((jws) => `${jws}\n`), "checkpoint_unreadable"],
  [
    "another organization's checkpoint of the same platform",
    resigned(signer, { org: "o-globex" }),
    "other_organization",
  ],
  [
    "a payload with a member more, signed by the platform's key",
    resigned(signer, { more: 1 }),
    "checkpoint_unreadable",
  ],
  [
    "a payload that is a list, signed by the platform's key",
    forge(async () => (await checkpoint(signer, [])).checkpoint),
    "checkpoint_unreadable",
  ],
  ["a checkpoint of entry 0", resigned(signer, { sequence: 0 }), "checkpoint_unreadable"],
  ["a checkpoint of a later entry stands here", resigned(signer, { sequence: 18 }), "cut_back", 17],
  [
    "a checkpoint of an earlier entry stands here",
    resigned(signer, { sequence: 10 }),
    "checkpoint_misplaced",
    10,
  ],
  [
    "a checkpoint with another hash that the platform signed",
    resigned(signer, { hash: chainStart("x") }),
    "checkpoint_mismatch",
    16,
  ],
  [
    "a checkpoint stands twice",
    (lines) => lines.toSpliced(lines.indexOf(checkpoints(lines)[1]), 0, checkpoints(lines)[1]),
    "checkpoint_misplaced",
    16,
  ],
  [
    "two checkpoints are swapped",
    (lines) => {
      const [first, second] = checkpoints(lines);
      [first.checkpoint, second.checkpoint] = [second.checkpoint, first.checkpoint];
      return lines;
    },
    "cut_back",
    9,
  ],
  ["a checkpoint is a number", put((lines) => checkpoints(lines)[1], { checkpoint: 1 }), "malformed", 17],
];

finds(signatures);
