import type { SealingKeys } from "../../services/shared/api/credentials.ts";
import { sealValue } from "../../services/shared/envelope/sealing.ts";
import type { DestinationPolicy } from "../../services/shared/work/destination.ts";
import { policyHash } from "../../services/shared/work/destination.ts";
import type { Material } from "../../services/shared/work/messages.ts";
import { newCanary, newSigningSecret } from "./canary.ts";
import { headerPolicy, webhookPolicy } from "./credential-jobs.ts";
import { type CredentialPlatform, startCredentialPlatform } from "./credentials.ts";
import { readStore, type Stolen, Thief } from "./thief.ts";

type ByClient = Stolen & { material: Extract<Material, { sealed: unknown }> };

/** An intake that stored two organizations' credentials, and hostile code that took its place. */
export interface Takeover {
  platform: CredentialPlatform;
  thief: Thief;
  /** The values, which the thief has not. */
  values: Record<"victim" | "older" | "foreign" | "byClient" | "foreignByClient" | "signing", string>;
  /** The newest version of an organization's credential. */
  victim: Stolen;
  /** The version before, which was sealed for more paths and methods, and of which the thief has a copy. */
  older: Stolen;
  /** Another organization's, of the same name, for the same destination. */
  foreign: Stolen;
  /** Those that clients have sealed, of the two organizations. */
  byClient: ByClient;
  foreignByClient: ByClient;
  /** The organization's webhook secret. */
  signing: Stolen;
  /** The origin of another host to which workers may connect. */
  elsewhere: string;
  stop(): Promise<void>;
}

const ACME = "org_acme";
const GLOBEX = "org_globex";

/** Starts the platform, has its intake store credentials, and takes it over. */
export async function takeOverIntake(vaultBinary: string): Promise<Takeover> {
  const platform = await startCredentialPlatform(vaultBinary, {
    workers: ["integration", "webhook", "feed"],
    destinations: 2,
  });
  try {
    const { destination, destinations, orgs } = platform;
    const elsewhere = destinations[1]?.origin ?? "";
    const org = (claim: string) => orgs[claim] ?? "";
    const policy = headerPolicy(destination.origin);
    const wide = headerPolicy(destination.origin, {
      methods: ["GET", "POST", "DELETE"],
      paths: ["/v0/**", "/v1/**"],
    });
    const values = {
      ...{ victim: newCanary(), older: newCanary(), foreign: newCanary() },
      ...{ byClient: newCanary(), foreignByClient: newCanary(), signing: newSigningSecret() },
    };
    const stolen = (
      claim: string,
      credential: string,
      version: number,
      policy: DestinationPolicy,
    ): Stolen => ({
      ...{ org: org(claim), credential, version, policy },
      material: materialIn(platform, org(claim), credential, version),
    });
    const put = async (claim: string, name: string, version: number, value: string, sealedFor = policy) => {
      await platform.putCredential(name, value, platform.token(claim), sealedFor);
      return stolen(claim, name, version, sealedFor);
    };
    const putSealed = async (claim: string, name: string, value: string): Promise<ByClient> => {
      await sealByClient(platform, claim, name, value, policy);
      return stolen(claim, name, 1, policy) as ByClient;
    };
    const older = await put(ACME, "stripe", 1, values.older, wide);
    const victim = await put(ACME, "stripe", 2, values.victim);
    const foreign = await put(GLOBEX, "stripe", 1, values.foreign);
    const byClient = await putSealed(ACME, "sealed", values.byClient);
    const foreignByClient = await putSealed(GLOBEX, "sealed", values.foreignByClient);
    const thief = await Thief.takeOver(platform);
    const secret = {
      ...{ org: org(ACME), credential: "@webhook/orders", version: 1 },
      policy: webhookPolicy(destination.origin),
    };
    const envelope = await thief.seal("webhook", thief.context(secret, "webhook"), values.signing);
    const stop = async () => {
      await thief.close();
      await platform.stop();
    };
    const signing = { ...secret, material: { envelope } };
    return {
      platform,
      thief,
      values,
      victim,
      older,
      foreign,
      byClient,
      foreignByClient,
      signing,
      elsewhere,
      stop,
    };
  } catch (error) {
    await platform.stop();
    throw error;
  }
}

/** What the store has of a credential, as a message carries it. */
function materialIn({ storeFile }: CredentialPlatform, org: string, name: string, version: number): Material {
  const items = readStore(storeFile).filter(({ partition }) => partition.startsWith(`org/${org}/`));
  const bodies = items.map(({ sort, body }) => ({ sort, ...body }) as Record<string, unknown>);
  const found = bodies.find((body) => body.sort === name && "material" in body && body.version === version);
  const material = found?.material as Material | { sealed: { key: string } } | undefined;
  if (!material) throw new Error(`the store has no material of ${name}`);
  if (!("sealed" in material)) return material;
  const key = bodies.find(({ id }) => id === material.sealed.key);
  return { ...material, privateKey: String(key?.privateKey) } as Material;
}

/** Stores a credential as a client does that seals it itself. */
export async function sealByClient(
  platform: CredentialPlatform,
  claim: string,
  name: string,
  value: string,
  policy: DestinationPolicy,
): Promise<void> {
  const token = platform.token(claim);
  const path = `/v1/sealing-keys?credential=${name}`;
  const { body } = await platform.api<SealingKeys>("GET", path, token);
  const { org, nextVersion = 1, keys } = body;
  const { id: key = "", publicKey = "" } = keys[0] ?? {};
  const context = {
    ...{ org, credential: name, version: String(nextVersion), purpose: "integration" as const },
    ...{ policy: policyHash(policy), key },
  };
  const point = new Uint8Array(Buffer.from(publicKey, "base64url"));
  const sealed = await sealValue(point, context, new TextEncoder().encode(value));
  const answer = await platform.api("PUT", `/v1/credentials/${name}`, token, {
    body: { sealed, version: nextVersion, destination: policy },
  });
  if (answer.status !== 201) throw new Error(`the sealed credential was refused: ${answer.text}`);
}
