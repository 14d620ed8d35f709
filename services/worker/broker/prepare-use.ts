import { Value } from "typebox/value";
import { Go, type UseCall } from "../../shared/broker/calls.ts";
import type { KeyProvider } from "../../shared/envelope/key-provider.ts";
import type { IntentEntry } from "../../shared/receipts/receipt.ts";
import { Scrubber } from "../scrub/scrubber.ts";
import type { AllowedUse } from "./allowed-use.ts";
import { readBody } from "./body.ts";
import { type CallStream, parseFrame } from "./call-stream.ts";
import { checkReceipt } from "./check-receipt.ts";
import { needsBody, type Prepared, prepareRequest } from "./inject/prepare.ts";
import type { Link } from "./link.ts";
import { openSealed } from "./sealed-credential.ts";
import { UseFailure } from "./use-failure.ts";

/** For the intake to write the receipt. */
const GO_MS = 30_000;

export interface PrepareParts {
  keys: KeyProvider;
  /** Milliseconds since 1970. */
  now(): number;
}

/** A request with the credential in it, that may be sent. */
export interface Ready {
  request: Omit<Prepared, "secrets">;
  scrubber: Scrubber;
  /** The body, if it was read before. */
  whole: { bytes: Buffer; digest: string } | undefined;
}

/**
 * All that is done before anything is sent: the credential is opened while the connection and the receipt are made. With an
 * access token the credential itself is not needed.
 */
export async function prepareUse(
  parts: PrepareParts,
  stream: CallStream,
  call: UseCall,
  allowed: AllowedUse,
  link: Link,
  token: string | undefined,
): Promise<Ready> {
  const { org, credential, request } = call;
  const { policy } = credential;
  const value = token === undefined ? await openSealed(parts.keys, org, credential) : new Uint8Array();
  const prepare = async (body?: Buffer) => {
    const asked = { method: request.method, path: request.path, headers: allowed.headers };
    const made = await prepareRequest(policy, value, { ...asked, ...(body && { body }) }, parts.now(), token);
    const { secrets, ...prepared } = made;
    const scrubber = new Scrubber(secrets);
    for (const secret of secrets) secret.fill(0);
    return { request: prepared, scrubber };
  };
  let early: Awaited<ReturnType<typeof prepare>> | undefined;
  try {
    if (!needsBody(policy.inject)) {
      early = await prepare();
      // The intake may take its time from here.
      value.fill(0);
    }
    await link.connected();
    const { bodyDigest } = await readGo(stream, allowed);
    const isWhole = !early || bodyDigest !== undefined;
    const whole = isWhole ? await readBody(stream, request.body) : undefined;
    if (bodyDigest !== undefined && bodyDigest !== whole?.digest) {
      throw new UseFailure("receipt_mismatch", "the receipt is for another body");
    }
    return { ...(early ?? (await prepare(whole?.bytes))), whole };
  } catch (error) {
    early?.scrubber.forget();
    throw error;
  } finally {
    value.fill(0);
  }
}

async function readGo(stream: CallStream, { intent }: AllowedUse): Promise<IntentEntry> {
  const frame = await stream.next(GO_MS);
  const go = frame?.type === "go" ? parseFrame(frame) : undefined;
  if (!Value.Check(Go, go)) throw new UseFailure("malformed", "the call was not let go");
  checkReceipt(go.receipt, intent);
  return go.receipt.entry as IntentEntry;
}
