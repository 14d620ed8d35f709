import { hash } from "node:crypto";
import { afterAll, describe, expect, vi } from "vitest";
import { newOrgId } from "../../services/shared/org.ts";
import { issueOrgCertificate } from "../../services/shared/vault/pki.ts";
import { startCorpus } from "../harness/corpus.ts";
import { test } from "../harness/fixtures.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";
import { type Recorder, startRecorder } from "../harness/recorder.ts";
import { newPair, startIssuer, type TestIssuer } from "../harness/tokens.ts";
import type { InternalVault } from "../harness/vault.ts";
import { CLAIM_CLASSES } from "./corpus/claims.ts";
import { FORM_CLASSES } from "./corpus/forms.ts";
import { HEADER_CLASSES } from "./corpus/headers.ts";
import { otherRoot, SIGNATURE_CLASSES } from "./corpus/signatures.ts";
import type { TokenWorld } from "./corpus/token-class.ts";

const CLASSES = [...SIGNATURE_CLASSES, ...HEADER_CLASSES, ...FORM_CLASSES, ...CLAIM_CLASSES];
const PATH = "/v1/secret/data/app/db";
const corpus = startCorpus("tokens");
const began = performance.now();

let internal: InternalVault;
let world: TokenWorld;
let recorders: Recorder[];
let gateway: TestGateway;
test.beforeAll(async ({ internal: started }) => {
  internal = started;
  const at = (host: string, alg: "RS256" | "ES256" | "EdDSA") =>
    startIssuer(
      { issuer: `https://${host}.example/`, audience: `https://${host}.example/api` },
      newPair(alg),
    );
  const [rs, es, ed, evil, { certificate, key }] = await Promise.all([
    at("rs", "RS256"),
    at("es", "ES256"),
    at("ed", "EdDSA"),
    at("evil", "RS256"),
    issueOrgCertificate(internal.controlPlane, newOrgId(), 3600),
  ]);
  world = { rs, es, ed, evil, certificate: { certificate, key: key.reveal() } };
  recorders = await Promise.all([rs, es, ed].map(() => startRecorder(internal)));
  const orgs = [rs, es, ed].flatMap(({ issuer }, i) => {
    const at = recorders[i];
    return at ? [{ id: at.org, issuer: issuer.issuer, claim: "org_acme", address: at.address }] : [];
  });
  gateway = await startGateway({ issuers: [rs, es, ed], ca: internal.ca, orgs });
});
afterAll(async () => {
  await gateway?.close();
  const { rs, es, ed, evil } = world ?? {};
  await Promise.all([...(recorders ?? []), rs, es, ed, evil].map((each) => each?.close()));
});

const reached = () =>
  recorders.reduce((sum, { requests, connections }) => sum + requests.length + connections, 0);
const forget = () => {
  for (const recorder of recorders) recorder.clear();
};
const ask = (token: string) => gateway.call("GET", PATH, { headers: { "x-vault-token": token } });

describe.each(CLASSES)("$name", (tokens) => {
  test("without the attack it is accepted", async () => {
    for (const [name, token] of Object.entries(tokens.control(world))) {
      forget();
      expect((await ask(token)).status, name).toBe(200);
      expect(reached(), name).toBeGreaterThan(0);
    }
  });

  test("is refused, tells nothing, and reaches nobody", async () => {
    for (const [name, token] of Object.entries(await tokens.hostile(world))) {
      forget();
      const { status, text } = await ask(token);
      corpus.count(name, { accepted: status < 400, forwarded: reached() > 0 });
      expect.soft(status, name).toBe(403);
      const message = tokens.unknownOrg
        ? "permission denied"
        : "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n";
      expect.soft(JSON.parse(text), name).toEqual({ errors: [message] });
    }
    expect(corpus.accepted).toEqual([]);
    expect(corpus.forwarded).toEqual([]);
  });
});

test("the attacker's address was never asked for keys, and the issuers' but once in 30 seconds", () => {
  expect(world.evil.fetches).toBe(0);
  const atMost = 1 + (performance.now() - began) / 30_000;
  for (const issuer of [world.rs, world.es, world.ed]) expect(issuer.fetches).toBeLessThanOrEqual(atMost);
});

test("nothing of a refused token is in the log", () => {
  const log = JSON.stringify(gateway.log());
  expect(log).not.toMatch(/eyJ|hvs\.|hvb\.|BEGIN PUBLIC/);
});

describe("keys that do not count", () => {
  type Ask = (token: string) => Promise<number>;

  /** A gateway that trusts this issuer alone. */
  async function trusting(issuer: TestIssuer, run: (ask: Ask, recorder: Recorder) => Promise<void>) {
    const recorder = recorders[0] as Recorder;
    const orgs = [{ id: recorder.org, claim: "org_acme", address: recorder.address }];
    const own = await startGateway({ issuers: [issuer], ca: internal.ca, orgs, now: () => Date.now() });
    try {
      await run(async (token) => (await own.call("GET", PATH, { token })).status, recorder);
    } finally {
      await own.close();
      await issuer.close();
    }
  }

  test("one taken out of the set, once the set is fetched again: not even for a remembered token", async () => {
    const issuer = await startIssuer({}, newPair("RS256", "old"));
    await trusting(issuer, async (askOwn, recorder) => {
      const token = issuer.token();
      expect(await askOwn(token)).toBe(200);
      issuer.keys = [newPair("RS256", "new")];
      vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 31_000 }); // beyond the cooldown
      try {
        await askOwn(issuer.token({}, { kid: "looked-for" }));
        recorder.clear();
        const status = await askOwn(token);
        corpus.count("a key taken out", { accepted: status < 400, forwarded: recorder.requests.length > 0 });
        expect(status).toBe(403);
      } finally {
        vi.useRealTimers();
      }
    });
  });

  test.each([512, 1024, 2040])("one of %i bits", async (bits) => {
    const issuer = await startIssuer({}, newPair("RS256", "short", bits));
    await trusting(issuer, async (askOwn, recorder) => {
      recorder.clear();
      const status = await askOwn(issuer.token());
      corpus.count(`${bits} bits`, { accepted: status < 400, forwarded: recorder.requests.length > 0 });
      expect(status).toBe(403);
    });
  });
});

test("a revoked token opens nothing again, whichever of its good signatures it has", async () => {
  const { es } = world;
  const [token, other] = [es.token({ sub: "revoked" }), es.token({ sub: "other" })];
  for (const each of [token, otherRoot(token), other]) expect((await ask(each)).status).toBe(200);
  const digest = hash("sha256", token.split(".").slice(0, 2).join("."), "base64url");
  const ends = Math.floor(Date.now() / 1000) + 3_600;
  await gateway.revoke([
    { issuer: es.issuer.issuer, claim: "org_acme", revocations: [{ token: digest, ends }] },
  ]);
  for (const [name, each] of Object.entries({ "as it was": token, "by the other root": otherRoot(token) })) {
    forget();
    const { status } = await ask(each);
    corpus.count(`revoked, ${name}`, { accepted: status < 400, forwarded: reached() > 0 });
    expect(status, name).toBe(403);
  }
  expect((await ask(other)).status).toBe(200);
});

/**
 * What RFC 8725 and its successor (draft-ietf-oauth-rfc8725bis-10, section 3) have a verifier do, item by item,
 * and the classes that try it.
 */
const ADVICE: Record<string, string[]> = {
  "3.1 perform algorithm verification": [
    "algorithm none",
    "a public key used",
    "an algorithm that the issuer",
    "somebody else's key",
  ],
  "3.2 use appropriate algorithms": ["algorithm none", "an algorithm that the issuer"],
  "3.3 validate all cryptographic operations": [
    "a signature of special values",
    "what is signed or encrypted",
  ],
  "3.4 validate cryptographic inputs": ["a signature of special values", "what is signed or encrypted"],
  "3.5 ensure keys have sufficient entropy": ["a public key used"],
  "3.6 avoid compression of encryption inputs": ["what is signed or encrypted", "a member of the header"],
  "3.7 use UTF-8": ["text that readers differ about", "a member or a claim twice"],
  "3.8 validate issuer and subject": ["another issuer", "somebody else's key", "a subject that is no text"],
  "3.9 use and validate audience": ["for another audience"],
  "3.10 carefully evaluate received claims": ["a kid that asks", "a key that the token brings"],
  "3.11 use explicit typing": ["a type that is another"],
  "3.12 mutually exclusive rules for each kind": ["for another audience", "a type that is another"],
  "3.13 limit hash iteration count": ["what is signed or encrypted"],
  "3.14 check JWT format type": [
    "what is signed or encrypted",
    "base64url spelled otherwise",
    "parts too many",
  ],
  "3.15 limit JWE decompression size": ["what is signed or encrypted", "too large"],
};

test.each(Object.entries(ADVICE))("advice tried: %s", (_advice, classes) => {
  for (const each of classes) expect(CLASSES.filter(({ name }) => name.startsWith(each))).toHaveLength(1);
});

test("the corpus is whole", () => {
  expect(corpus.tried).toBeGreaterThan(600);
  expect([...corpus.accepted, ...corpus.forwarded]).toEqual([]);
});
