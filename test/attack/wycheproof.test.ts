import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { startCorpus } from "../harness/corpus.ts";
import { startGateway } from "../harness/gateway.ts";
import { type Recorder, startRecorder } from "../harness/recorder.ts";
import { startIssuer } from "../harness/tokens.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";
import { carryOver, type VectorGroup, type Vectors } from "./corpus/wycheproof.ts";

const file = process.env.WYCHEPROOF_JWS;
const WHERE =
  "skipped: no vectors. Set WYCHEPROOF_JWS to the path of testvectors_v1/json_web_signature_test.json from github.com/C2SP/wycheproof";
const PATH = "/v1/secret/data/app/db";
const corpus = startCorpus("Wycheproof JWS");

let internal: InternalVault | undefined;
let recorder: Recorder;
beforeAll(async () => {
  if (!file) return;
  internal = await startInternalVault(inject("vaultBinary"));
  recorder = await startRecorder(internal);
});
afterAll(async () => {
  await recorder?.close();
  await internal?.stop();
});

/** Whether a gateway whose one issuer serves the group's own key lets a request with the token through. */
async function trusting(group: VectorGroup, ca: string) {
  const issuer = await startIssuer({ algorithms: ["RS256", "ES256", "EdDSA"] });
  issuer.answer = { keys: [group.public ?? group.private] };
  const orgs = [{ id: recorder.org, claim: "org_acme", address: recorder.address }];
  const gateway = await startGateway({ issuers: [issuer], ca, orgs });
  return {
    claims: JSON.stringify(issuer.claims()),
    async ask(jws: unknown) {
      recorder.clear();
      const token = typeof jws === "string" ? jws : JSON.stringify(jws);
      const { status } = await gateway.call("GET", PATH, { headers: { "x-vault-token": token } });
      return { status, reached: recorder.requests.length + recorder.connections > 0 };
    },
    async close() {
      await gateway.close();
      await issuer.close();
    },
  };
}

// The vectors sign texts like "foo", which are no claims: as they stand, all could be refused for that alone.
// So they are also carried over to claims of the issuer, and the valid ones, carried over in the same way,
// must be accepted.
test("Wycheproof's JWS vectors", { timeout: 120_000 }, async (context) => {
  if (!file || !internal) {
    process.stdout.write(`${WHERE}\n`);
    return context.skip(WHERE);
  }
  const { testGroups } = JSON.parse(readFileSync(file, "utf8")) as Vectors;
  let invalid = 0;
  let carried = 0;
  let accepted = 0;
  for (const group of testGroups) {
    const { claims, ask, close } = await trusting(group, internal.ca);
    const attack = async (name: string, jws: unknown) => {
      const { status, reached } = await ask(jws);
      corpus.count(name, { accepted: status < 400, forwarded: reached });
      expect.soft(status, name).toBe(jws === "" ? 401 : 403); // none is no bad one
    };
    try {
      for (const vector of group.tests) {
        const name = `${vector.tcId} ${vector.comment}`;
        const ours = carryOver(group, vector, claims);
        if (vector.result === "invalid") {
          invalid++;
          await attack(name, vector.jws);
          if (ours !== undefined) carried++;
          if (ours !== undefined) await attack(`${name}, carried over`, ours);
        } else if (ours !== undefined) {
          accepted++;
          expect.soft(await ask(ours), name).toEqual({ status: 200, reached: true });
        }
      }
    } finally {
      await close();
    }
  }
  expect({ invalid, carried, accepted }).toEqual({ invalid: 355, carried: 256, accepted: 10 });
  expect([...corpus.accepted, ...corpus.forwarded]).toEqual([]);
});
