import { Webhook } from "standardwebhooks";
import type { KeyProvider } from "../shared/envelope/key-provider.ts";
import { forbiddenByPolicy, policyHash } from "../shared/work/destination.ts";
import {
  type DeliverMessage,
  type DestinationRequest,
  type Outcome,
  WebhookMessage,
} from "../shared/work/messages.ts";
import { answered } from "./answered.ts";
import { checkHeaders } from "./check-headers.ts";
import { JobFailure } from "./job-failure.ts";
import { openCredential } from "./open-credential.ts";
import { bodyOf, openRequest } from "./open-request.ts";
import type { Exchange } from "./outbound/exchange.ts";
import { Scrubber } from "./scrub/scrubber.ts";
import { resealed } from "./seal-keys.ts";
import type { Run, Work } from "./work.ts";

const PURPOSE = "webhook";
/** So much of a receiver's answer is kept, for whoever looks for the reason of a failure. */
const KEPT_BYTES = 4_096;
/** Longer than a secret in any of its forms: one that the end of what was read cuts in two is not in what is kept. */
const MARGIN_BYTES = 16_384;
const WEBHOOK_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** Posts a webhook, signed by the rules of Standard Webhooks with each secret that is valid now. */
export function webhookWork(
  keys: KeyProvider,
  exchange: Exchange,
  now: () => number = Date.now,
): Work<typeof WebhookMessage> {
  return {
    schema: WebhookMessage,
    perform: (message, run) =>
      message.type === "rewrap" ? rewrapSecrets(keys, message) : deliver(message, run),
  };

  async function deliver(message: DeliverMessage, { signal, reached }: Run): Promise<Outcome> {
    const { policy, job, webhookId } = message;
    const shared = { org: message.org, credential: message.credential, purpose: PURPOSE } as const;
    const context = (version: number) => ({
      ...shared,
      version: String(version),
      policy: policyHash(policy),
    });
    if (!("signature" in policy.inject)) {
      throw new JobFailure("policy_mismatch", "the policy is not a webhook's");
    }
    const newest = Math.max(...message.secrets.map(({ version }) => version));
    const request = await openRequest(keys, { ...context(newest), job }, message.request);
    const forbidden = forbiddenByPolicy(policy, request);
    if (forbidden) throw new JobFailure("request_not_allowed", forbidden);
    const headers = checkHeaders(Object.entries(request.headers ?? {}));
    const { body, text } = textBodyOf(request);
    if (!WEBHOOK_ID.test(webhookId)) throw new JobFailure("malformed", "the webhook's id is malformed");

    const secrets: Uint8Array[] = [];
    const forms: Uint8Array[] = [];
    let scrubber: Scrubber | undefined;
    try {
      for (const { version, material } of message.secrets) {
        secrets.push(await openCredential(keys, context(version), material));
      }
      const seconds = Math.floor(now() / 1000);
      const signatures = secrets.map((secret) => sign(secret, webhookId, seconds, text));
      forms.push(...secrets.flatMap(secretForms));
      scrubber = new Scrubber(forms);
      reached("opened");
      const answer = await exchange(
        {
          origin: policy.origin,
          method: request.method,
          path: request.path,
          headers: [
            ...headers,
            ["webhook-id", webhookId],
            ["webhook-timestamp", String(seconds)],
            ["webhook-signature", signatures.join(" ")],
            ["Idempotency-Key", job],
            ["Accept-Encoding", "identity"],
          ],
          body,
          maxBody: KEPT_BYTES + MARGIN_BYTES,
          truncate: true,
        },
        signal,
      );
      reached("sent");
      const isCut = answer.body.length === KEPT_BYTES + MARGIN_BYTES;
      return answered(answer, scrubber, (body) =>
        body.subarray(0, isCut ? Math.max(0, Math.min(KEPT_BYTES, body.length - MARGIN_BYTES)) : KEPT_BYTES),
      );
    } finally {
      for (const secret of [...secrets, ...forms]) secret.fill(0);
      scrubber?.forget();
    }
  }
}

const asText = (secret: Uint8Array): string => Buffer.from(secret).toString("latin1");

function sign(secret: Uint8Array, id: string, seconds: number, payload: string): string {
  try {
    return new Webhook(asText(secret)).sign(id, new Date(seconds * 1000), payload);
  } catch {
    throw new JobFailure("request_not_allowed", "the signing secret is not one of Standard Webhooks");
  }
}

/** The secret's text, without its prefix, and the key in it. */
function secretForms(secret: Uint8Array): Uint8Array[] {
  const encoded = asText(secret).replace(/^whsec_/, "");
  return [secret, Buffer.from(encoded, "latin1"), Buffer.from(encoded, "base64")];
}

/** The library signs text, so a body that is not UTF-8 would be signed as another one. */
function textBodyOf(request: DestinationRequest): { body: Uint8Array; text: string } {
  const body = bodyOf(request) ?? new Uint8Array();
  try {
    return { body, text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body) };
  } catch {
    throw new JobFailure("request_not_allowed", "the webhook's body is not UTF-8");
  }
}

/** Seals a webhook's secrets anew; what they are for stays the same. */
async function rewrapSecrets(
  keys: KeyProvider,
  { org, credential, policy, secrets }: Extract<WebhookMessage, { type: "rewrap" }>,
): Promise<Outcome> {
  const bound = { org, credential, purpose: PURPOSE, policy: policyHash(policy) } as const;
  const envelopes: string[] = [];
  for (const { version, material } of secrets) {
    envelopes.push(await resealed(keys, { ...bound, version: String(version) }, material));
  }
  return { state: "secrets-rewrapped", envelopes };
}
