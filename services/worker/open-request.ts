import { Value } from "typebox/value";
import type { EncryptionContext } from "../shared/envelope/context.ts";
import { open } from "../shared/envelope/envelope.ts";
import type { KeyProvider } from "../shared/envelope/key-provider.ts";
import { DestinationRequest } from "../shared/work/messages.ts";
import { JobFailure } from "./job-failure.ts";
import { fromBase64 } from "./open-credential.ts";

/**
 * Opens a job's request. Throws JobFailure `malformed` if the envelope holds no request, EnvelopeRefused and
 * KeyProviderError.
 */
export async function openRequest(
  keys: KeyProvider,
  context: EncryptionContext & { job: string },
  envelope: string,
): Promise<DestinationRequest> {
  const plaintext = await open(keys, context, fromBase64(envelope));
  try {
    const request: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(plaintext));
    if (Value.Check(DestinationRequest, request)) return request;
  } catch {
    // not JSON: refused below
  } finally {
    plaintext.fill(0);
  }
  throw new JobFailure("malformed", "the job's request is malformed");
}

/** The bytes of a request's body; undefined if it has none. Throws JobFailure if GET or HEAD has one. */
export function bodyOf({ method, body }: DestinationRequest): Uint8Array | undefined {
  if (body === undefined) return undefined;
  if (method === "GET" || method === "HEAD") {
    throw new JobFailure("request_not_allowed", `a ${method} request may not have a body`);
  }
  return fromBase64(body);
}
