import type { EncryptionContext } from "../shared/envelope/context.ts";
import type { KeyProvider } from "../shared/envelope/key-provider.ts";
import { isPublicKey, sealResult } from "../shared/envelope/sealing.ts";
import { forbiddenByPolicy, policyHash } from "../shared/work/destination.ts";
import { IntegrationMessage, type Outcome } from "../shared/work/messages.ts";
import { answered } from "./answered.ts";
import { checkHeaders } from "./check-headers.ts";
import { type Injected, inject } from "./inject.ts";
import { JobFailure } from "./job-failure.ts";
import { openCredential } from "./open-credential.ts";
import { bodyOf, openRequest } from "./open-request.ts";
import type { Exchange } from "./outbound/exchange.ts";
import { Scrubber } from "./scrub/scrubber.ts";
import { makeSealingKey, rewrap } from "./seal-keys.ts";
import type { Run, Work } from "./work.ts";

const PURPOSE = "integration";
const MAX_ANSWER_BYTES = 262_144;

type Request = Extract<IntegrationMessage, { type: "request" }>;

/** Sends a request with an organization's credential to the destination that the credential was sealed for. */
export function integrationWork(keys: KeyProvider, exchange: Exchange): Work<typeof IntegrationMessage> {
  return {
    schema: IntegrationMessage,
    perform(message, run) {
      switch (message.type) {
        case "request":
          return send(message, run);
        case "make-sealing-key":
          return makeSealingKey(keys, message.org, message.key, PURPOSE);
        case "rewrap":
          return rewrap(keys, contextOf(message), message.material);
      }
    },
  };

  async function send(message: Request, { signal, reached }: Run): Promise<Outcome> {
    const { policy, job } = message;
    const context = contextOf(message);
    const request = await openRequest(keys, { ...context, job }, message.request);
    const forbidden = forbiddenByPolicy(policy, request);
    if (forbidden) throw new JobFailure("request_not_allowed", forbidden);
    const header = "header" in policy.inject ? policy.inject.header : undefined;
    const headers = checkHeaders(Object.entries(request.headers ?? {}), {
      injected: header === undefined ? [] : [header],
    });
    const body = bodyOf(request);
    const resultKey = await resultKeyOf(message);
    const credential = await openCredential(keys, context, message.material);
    let scrubber: Scrubber | undefined;
    let injected: Injected | undefined;
    try {
      injected = inject(policy.inject, credential);
      scrubber = new Scrubber(injected.secrets);
      reached("opened");
      const answer = await exchange(
        {
          origin: policy.origin,
          method: request.method,
          path: request.path,
          headers: [...headers, injected.header, ["Idempotency-Key", job], ["Accept-Encoding", "identity"]],
          body,
          maxBody: MAX_ANSWER_BYTES,
        },
        signal,
      );
      reached("sent");
      const outcome = answered(answer, scrubber);
      return resultKey ? await sealed(outcome, message, resultKey) : outcome;
    } finally {
      for (const secret of [credential, ...(injected?.secrets ?? [])]) secret.fill(0);
      scrubber?.forget();
    }
  }
}

/** What the worker itself expects the material to be sealed for. */
const contextOf = ({
  org,
  credential,
  version,
  policy,
}: Pick<Request, "org" | "credential" | "version" | "policy">): EncryptionContext => ({
  org,
  credential,
  version: String(version),
  purpose: PURPOSE,
  policy: policyHash(policy),
});

/** The key to which the caller wants the answer sealed; checked before anything is sent. */
async function resultKeyOf({ sealResultTo }: Request): Promise<Uint8Array | undefined> {
  if (sealResultTo === undefined) return undefined;
  const key = new Uint8Array(Buffer.from(sealResultTo, "base64url"));
  if (await isPublicKey(key)) return key;
  throw new JobFailure("request_not_allowed", "the key for the result is not a P-256 point");
}

async function sealed(outcome: Outcome, { job, org }: Request, resultKey: Uint8Array): Promise<Outcome> {
  const plaintext = new TextEncoder().encode(JSON.stringify(outcome));
  return { state: "sealed", ...(await sealResult(resultKey, { job, org }, plaintext)) };
}
