import { newWorkId } from "../../services/intake/ids.ts";
import { seal } from "../../services/shared/envelope/envelope.ts";
import type { KeyProvider } from "../../services/shared/envelope/key-provider.ts";
import { transitKeyProvider } from "../../services/shared/envelope/transit.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { appRoleLogin } from "../../services/shared/vault/approle.ts";
import { vaultClient } from "../../services/shared/vault/client.ts";
import { type DestinationPolicy, policyHash } from "../../services/shared/work/destination.ts";
import type { Purpose } from "../../services/shared/work/kinds.ts";
import type {
  DeliverMessage,
  DestinationRequest,
  IntegrationMessage,
  Material,
} from "../../services/shared/work/messages.ts";
import type { PrivateDestination } from "../../services/worker/outbound/private-destinations.ts";
import type { Recorder } from "./recorder.ts";
import type { InternalVault } from "./vault.ts";

export const newJobId = (): string => newWorkId(Date.now());

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const inFiveMinutes = () => Math.floor(Date.now() / 1000) + 300;

/** The login of a service at the internal Vault, as key provider of one purpose's key. */
export function keysOf(
  { endpoint, logins }: Pick<InternalVault, "endpoint" | "logins">,
  login: keyof InternalVault["logins"],
  purpose: Purpose,
): KeyProvider {
  return transitKeyProvider(vaultClient(endpoint, appRoleLogin(endpoint, logins[login]).token), purpose);
}

/** The https origin of a recorder, which is named after its certificate. */
export const originOf = (recorder: Recorder): string =>
  `https://${recorder.org}.org.strongroom.internal:${new URL(recorder.address).port}`;

/** The exception by which a worker reaches a recorder. */
export const exceptionFor = (recorder: Recorder, ca: string): PrivateDestination => ({
  origin: originOf(recorder),
  address: "127.0.0.1",
  ca,
});

export const headerPolicy = (
  origin: string,
  changes: Partial<DestinationPolicy> = {},
): DestinationPolicy => ({
  origin,
  methods: ["GET", "POST"],
  paths: ["/v1/**"],
  inject: { header: "Authorization", format: "Bearer {}" },
  ...changes,
});

export const webhookPolicy = (origin: string, path = "/hook"): DestinationPolicy => ({
  origin,
  methods: ["POST"],
  paths: [path],
  inject: { signature: "standard-webhooks" },
});

/** What the intake would send: it seals by a login that can only make data keys. */
export class Jobs {
  readonly org: string;
  readonly keys: KeyProvider;
  readonly #purpose: Purpose;

  constructor(keys: KeyProvider, purpose: Purpose, org: string = newOrgId()) {
    this.keys = keys;
    this.#purpose = purpose;
    this.org = org;
  }

  context(policy: DestinationPolicy, version = 1, credential = "stripe") {
    return {
      org: this.org,
      credential,
      version: String(version),
      purpose: this.#purpose,
      policy: policyHash(policy),
    };
  }

  async material(value: string, policy: DestinationPolicy, version = 1): Promise<Material> {
    const envelope = await seal(this.keys, this.context(policy, version), new TextEncoder().encode(value));
    return { envelope: base64(envelope) };
  }

  async sealRequest(job: string, request: DestinationRequest, policy: DestinationPolicy, version = 1) {
    const plaintext = new TextEncoder().encode(JSON.stringify(request));
    return base64(await seal(this.keys, { ...this.context(policy, version), job }, plaintext));
  }

  async request(
    value: string,
    policy: DestinationPolicy,
    request: DestinationRequest = { method: "GET", path: "/v1/charges" },
    changes: { job?: string; notAfter?: number; sealResultTo?: string } = {},
  ): Promise<Extract<IntegrationMessage, { type: "request" }>> {
    const job = changes.job ?? newJobId();
    return {
      ...{
        type: "request" as const,
        job,
        org: this.org,
        attempt: 1,
        credential: "stripe",
        version: 1,
        policy,
      },
      notAfter: inFiveMinutes(),
      material: await this.material(value, policy),
      request: await this.sealRequest(job, request, policy),
      ...changes,
    };
  }

  async delivery(
    secrets: string[],
    policy: DestinationPolicy,
    body: string,
    changes: { job?: string } = {},
  ): Promise<DeliverMessage> {
    const job = changes.job ?? newJobId();
    const versions = secrets.map((_, index) => secrets.length - index);
    const request: DestinationRequest = {
      method: "POST",
      path: policy.paths[0] as string,
      headers: { "Content-Type": "application/json" },
      body: Buffer.from(body).toString("base64"),
    };
    return {
      ...{ type: "deliver", job, org: this.org, attempt: 1, credential: "stripe", policy },
      notAfter: inFiveMinutes(),
      secrets: await Promise.all(
        secrets.map(async (secret, index) => {
          const version = versions[index] as number;
          return { version, material: await this.material(secret, policy, version) };
        }),
      ),
      webhookId: "msg_2b1c",
      request: await this.sealRequest(job, request, policy, Math.max(...versions)),
    };
  }
}
