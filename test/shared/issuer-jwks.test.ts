import { afterEach, beforeEach, expect, test } from "vitest";
import { fetchIssuerKeys } from "../../services/shared/issuer-jwks.ts";
import { newPair, publicPem, type SigningPair, startIssuer, type TestIssuer } from "../harness/tokens.ts";

let issuer: TestIssuer;
beforeEach(async () => {
  issuer = await startIssuer();
});
afterEach(() => issuer.close());

const publicJwkOf = (pair: SigningPair) => pair.publicKey.export({ format: "jwk" });
const pemOf = (pair: SigningPair) => publicPem(pair).trim();

test("gives the keys for the issuer's algorithms, and no others", async () => {
  const second = newPair("RS256");
  issuer.keys = [issuer.pair, newPair("ES256"), second, newPair("EdDSA")];
  expect(await fetchIssuerKeys(issuer.issuer)).toEqual([pemOf(issuer.pair), pemOf(second)].sort());
  const all = await fetchIssuerKeys({ ...issuer.issuer, algorithms: ["RS256", "ES256", "EdDSA"] });
  expect(all).toEqual(issuer.keys.map(pemOf).sort());
});

test("the order in which they are served makes no difference", async () => {
  const other = newPair("RS256");
  issuer.keys = [issuer.pair, other];
  const keys = await fetchIssuerKeys(issuer.issuer);
  issuer.keys = [other, issuer.pair, other];
  expect(await fetchIssuerKeys(issuer.issuer)).toEqual(keys);
});

test.each<[string, unknown]>([
  ["no keys", { keys: [] }],
  ["no list", { keys: "x" }],
  ["a list of nothing", { keys: [null, 1, "x"] }],
  ["a secret in place of a public key", { keys: [{ kty: "oct", k: "AAAA" }] }],
  ["a key that is broken", { keys: [{ kty: "RSA", n: "", e: "" }] }],
  ["a key that is too short", { keys: [publicJwkOf(newPair("RS256", "short", 1024))] }],
  ["a key for encryption", { keys: [{ kty: "RSA", n: "AQAB", e: "AQAB", use: "enc" }] }],
  ["more than is read", { keys: [], padding: "x".repeat(300_000) }],
])("%s: unreachable", async (_, answer) => {
  issuer.answer = answer;
  await expect(fetchIssuerKeys(issuer.issuer)).rejects.toMatchObject({ code: "issuer_keys_unreachable" });
});

test("nobody at the address: unreachable", async () => {
  await issuer.down();
  await expect(fetchIssuerKeys(issuer.issuer)).rejects.toMatchObject({ code: "issuer_keys_unreachable" });
});
