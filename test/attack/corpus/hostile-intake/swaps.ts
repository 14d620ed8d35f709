import { sealingKeyContext } from "../../../../services/shared/envelope/context.ts";
import { makeSealingKeyPair, sealValue } from "../../../../services/shared/envelope/sealing.ts";
import { newOrgId } from "../../../../services/shared/org.ts";
import type { Material } from "../../../../services/shared/work/messages.ts";
import type { Takeover } from "../../../harness/takeover.ts";
import type { Stolen } from "../../../harness/thief.ts";
import type { Way } from "./way.ts";

const envelopeOf = ({ material }: Stolen): string => {
  if (!("envelope" in material)) throw new Error("the credential is not in an envelope");
  return material.envelope;
};

/** A use with material that was sealed for something else. */
const swapped = (
  way: string,
  change: (takeover: Takeover) => Partial<Stolen> | Promise<Partial<Stolen>>,
): Way => ({
  way: `swap: ${way}`,
  failure: "not_openable",
  message: async (takeover) => takeover.thief.use({ ...takeover.victim, ...(await change(takeover)) }),
});

/** The bytes of the victim's envelope, changed. */
const tampered = (way: string, change: (bytes: Buffer) => Buffer): Way =>
  swapped(way, ({ victim }) => ({
    material: { envelope: change(Buffer.from(envelopeOf(victim), "base64")).toString("base64") },
  }));
const flipped = (bytes: Buffer, at: number): Buffer => {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
};

type Sealed = Extract<Material, { sealed: unknown }>;
/** A value that a client has sealed, changed. */
const resealed = (
  way: string,
  change: (material: Sealed, takeover: Takeover) => Partial<Stolen> | Promise<Partial<Stolen>>,
): Way =>
  swapped(way, async (takeover) => ({
    ...takeover.byClient,
    ...(await change(takeover.byClient.material, takeover)),
  }));
const flippedText = (text: string, at: number): string => {
  const bytes = Buffer.from(text, "base64url");
  return flipped(bytes, at).toString("base64url");
};

/** Credentials in others' places. */
export const swaps: Way[] = [
  swapped("another organization's credential", ({ foreign }) => ({ material: foreign.material })),
  swapped("the credential in another organization", ({ foreign }) => ({ org: foreign.org })),
  swapped("in an organization that does not exist", () => ({ org: newOrgId() })),
  swapped("under another name", () => ({ credential: "github" })),
  swapped("under another version", ({ victim }) => ({ version: victim.version + 1 })),
  swapped("an older version as the newest", ({ older }) => ({ material: older.material })),
  swapped("the newest as an older version", ({ older }) => ({ version: older.version })),
  {
    way: "swap: a webhook's secret as a credential",
    failure: "not_openable",
    message: ({ thief, signing }) => thief.use(signing, { method: "POST", path: "/hook" }),
  },
  swapped("a webhook's secret in the credential's place", ({ signing }) => ({ material: signing.material })),
  swapped("a value that a client sealed, of another name", ({ byClient }) => ({
    material: byClient.material,
  })),
  swapped("a sealing key's private half as a credential", ({ byClient }) => ({
    material: { envelope: byClient.material.privateKey },
  })),
  swapped("a sealing key's private half under its own name", ({ byClient }) => ({
    credential: "@sealing-key",
    material: { envelope: byClient.material.privateKey },
  })),
  {
    ...swapped("a sealing key's private half under its own name and version", () => ({})),
    failure: "malformed",
    message: async ({ thief, byClient }) => ({
      ...(await thief.use({ ...byClient, credential: "@sealing-key" })),
      version: byClient.material.sealed.key as unknown as number,
      material: { envelope: byClient.material.privateKey },
    }),
  },
  {
    way: "swap: a request's envelope as the credential that is sent",
    failure: "not_openable",
    message: async ({ thief, victim }) => {
      const use = await thief.use(victim);
      return { ...use, material: { envelope: use.request } };
    },
  },
  {
    way: "swap: the credential's envelope as the request",
    failure: "not_openable",
    message: async ({ thief, victim }) => ({ ...(await thief.use(victim)), request: envelopeOf(victim) }),
  },
  {
    way: "swap: another job's request",
    failure: "not_openable",
    message: async ({ thief, victim }) => ({
      ...(await thief.use(victim)),
      request: (await thief.use(victim)).request,
    }),
  },
  {
    way: "swap: another organization's request",
    failure: "not_openable",
    message: async ({ thief, victim, foreign }) => {
      const use = await thief.use(victim);
      return { ...use, request: (await thief.use(foreign, {}, { job: use.job })).request };
    },
  },
  {
    way: "swap: a credential as a webhook's secret",
    kind: "webhook",
    failure: "not_openable",
    message: ({ thief, victim, signing }) => thief.delivery({ ...signing, material: victim.material }),
  },
  {
    way: "swap: a credential as a webhook's second secret",
    kind: "webhook",
    failure: "not_openable",
    message: async ({ thief, victim, signing }) => {
      const first = { version: signing.version, material: signing.material };
      const secrets = [first, { version: victim.version, material: victim.material }];
      const newest = { ...signing, version: Math.max(signing.version, victim.version) };
      return { ...(await thief.delivery(newest)), secrets };
    },
  },
  {
    way: "swap: a webhook's secret, sent as a header",
    kind: "webhook",
    failure: "policy_mismatch",
    message: ({ thief, victim, signing }) => thief.delivery({ ...signing, policy: victim.policy }),
  },
  {
    way: "swap: a webhook's secret for another URL",
    kind: "webhook",
    failure: "not_openable",
    message: ({ thief, signing, elsewhere }) =>
      thief.delivery({ ...signing, policy: { ...signing.policy, origin: elsewhere } }),
  },
  {
    way: "swap: a use on the webhooks' queue",
    kind: "webhook",
    failure: "malformed",
    message: ({ thief, victim }) => thief.use(victim),
  },
  {
    way: "swap: a delivery on the integrations' queue",
    failure: "malformed",
    message: ({ thief, signing }) => thief.delivery(signing),
  },
  tampered("one bit of the header", (bytes) => flipped(bytes, 0)),
  tampered("one bit of the context", (bytes) => flipped(bytes, 60)),
  tampered("one bit of the commitment or the tag", (bytes) => flipped(bytes, bytes.length - 90)),
  tampered("one bit of the last tag", (bytes) => flipped(bytes, bytes.length - 1)),
  tampered("the last byte cut off", (bytes) => bytes.subarray(0, -1)),
  tampered("cut in half", (bytes) => bytes.subarray(0, bytes.length / 2)),
  tampered("a byte more", (bytes) => Buffer.concat([bytes, Buffer.from([0])])),
  tampered("twice one after the other", (bytes) => Buffer.concat([bytes, bytes])),
  tampered("empty", () => Buffer.alloc(0)),
  swapped(
    "with the encrypted data key of an envelope of its own for the same context",
    async ({ thief, victim }) => {
      const bytes = Buffer.from(envelopeOf(victim), "base64");
      const own = Buffer.from(
        await thief.seal("integration", thief.context(victim), "a value of the thief's"),
        "base64",
      );
      const keyOf = (envelope: Buffer) => {
        const at = envelope.indexOf("vault:v1:");
        return {
          at,
          text: /^vault:v1:[A-Za-z0-9+/]+=*/.exec(envelope.toString("latin1", at, at + 120))?.[0] ?? "",
        };
      };
      const [theirs, mine] = [keyOf(bytes), keyOf(own)];
      if (theirs.text.length !== mine.text.length) throw new Error("the data keys differ in length");
      bytes.write(mine.text, theirs.at);
      return { material: { envelope: bytes.toString("base64") } };
    },
  ),
  resealed("a client's value in another organization", (_, { foreign }) => ({ org: foreign.org })),
  resealed("a client's value with another organization's key", (material, { foreignByClient }) => ({
    material: { ...material, privateKey: foreignByClient.material.privateKey },
  })),
  resealed("a client's value of another organization", (_, { foreignByClient }) => ({
    material: foreignByClient.material,
  })),
  resealed("a client's value under another name", () => ({ credential: "github" })),
  resealed("a client's value under another version", () => ({ version: 7 })),
  resealed("a client's value for another host", (_, { byClient, elsewhere }) => ({
    policy: { ...byClient.policy, origin: elsewhere },
  })),
  resealed("a client's value with another commitment", (material) => ({
    material: {
      ...material,
      sealed: { ...material.sealed, commitment: flippedText(material.sealed.commitment, 0) },
    },
  })),
  resealed("a client's value with another encapsulated key", (material) => ({
    material: { ...material, sealed: { ...material.sealed, enc: flippedText(material.sealed.enc, 40) } },
  })),
  resealed("a client's value with one bit of the ciphertext changed", (material) => ({
    material: {
      ...material,
      sealed: { ...material.sealed, ciphertext: flippedText(material.sealed.ciphertext, 3) },
    },
  })),
  resealed("a client's value under another key's id", (material, { foreignByClient }) => ({
    material: { ...material, sealed: { ...material.sealed, key: foreignByClient.material.sealed.key } },
  })),
  resealed(
    "a client's value with a key that the thief has made and wrapped itself",
    async (material, { thief, byClient }) => {
      const { privateKey } = await makeSealingKeyPair();
      const { key } = material.sealed;
      const wrapped = await thief.seal(
        "integration",
        sealingKeyContext(byClient.org, key, "integration"),
        privateKey,
      );
      return { material: { ...material, privateKey: wrapped } };
    },
  ),
  resealed(
    "a credential as the private key of a value that the thief has sealed",
    async (material, { thief, victim }) => {
      const { publicKey } = await makeSealingKeyPair();
      const context = { ...thief.context(victim), key: material.sealed.key };
      const sealed = await sealValue(publicKey, context, new TextEncoder().encode("a value of the thief's"));
      return { ...victim, material: { sealed, privateKey: envelopeOf(victim) } };
    },
  ),
];
