import type { IncomingMessage } from "node:http";
import type { Logger } from "pino";
import { Value } from "typebox/value";
import { type AnswerEnd, AnswerHead, Go, UseCall } from "../../shared/broker/calls.ts";
import { brokerPolicyHash } from "../../shared/broker/policy.ts";
import type { KeyProvider } from "../../shared/envelope/key-provider.ts";
import type { IntentEntry } from "../../shared/receipts/receipt.ts";
import { openCredential } from "../open-credential.ts";
import type { Exchanged, Patience } from "../outbound/stream.ts";
import { Scrubber } from "../scrub/scrubber.ts";
import { ScrubStream } from "../scrub/stream.ts";
import { type AllowedUse, allowedUse } from "./allowed-use.ts";
import { answerHeaders } from "./answer-headers.ts";
import { passBody, readBody } from "./body.ts";
import type { CallStream } from "./call-stream.ts";
import { checkReceipt } from "./check-receipt.ts";
import type { Destinations } from "./destinations.ts";
import { asCallFailed, asUseFailure } from "./failures.ts";
import { needsBody, type Prepared, prepareRequest } from "./inject/prepare.ts";
import type { UseLimits } from "./limits.ts";
import { Link } from "./link.ts";
import type { Tokens } from "./token/tokens.ts";
import { UseFailure } from "./use-failure.ts";
import type { VerifyCaller } from "./verified-caller.ts";

/** For the first frame, once the request has come; and for the intake to write the receipt. */
const CALL_MS = 5_000;
const GO_MS = 30_000;

export interface UseParts {
  keys: KeyProvider;
  destinations: Destinations;
  verifyCaller: VerifyCaller;
  limits: UseLimits;
  /** Has the access tokens for credentials whose policy injects one. */
  tokens: Pick<Tokens, "accessToken" | "rejected">;
  logger: Logger;
  /** Milliseconds since 1970. */
  now(): number;
  patience?: Patience | undefined;
}

/** How far a use has come, for its last frame and its log line. */
interface Progress {
  call?: UseCall;
  rule?: string;
  status?: number;
  /** Whether anything was sent to the destination. */
  isSent: boolean;
}

/** Answers one call of `POST /use`. Does not throw. */
export async function answerUse(parts: UseParts, stream: CallStream): Promise<void> {
  const began = performance.now();
  const progress: Progress = { isSent: false };
  let outcome = "answered";
  try {
    stream.end("end", await use(parts, stream, progress));
  } catch (thrown) {
    const failure = asUseFailure(stream.gone.aborted ? stream.gone.reason : thrown);
    outcome = failure.failure;
    if (outcome === "internal") {
      parts.logger.error({ call: progress.call?.id, error: (thrown as Error).name }, "unexpected error");
    }
    stream.end("failed", asCallFailed(failure, progress.isSent));
  }
  // The last successful match keeps its subject alive, which may have been a credential's text.
  /^/.test("");
  const { call, rule, status, isSent } = progress;
  const about = { call: call?.id, org: call?.org, credential: call?.credential.name, rule, status, isSent };
  parts.logger.info({ ...about, outcome, ms: Math.round(performance.now() - began) }, "use ended");
}

async function use(parts: UseParts, stream: CallStream, progress: Progress): Promise<AnswerEnd> {
  const call = await readCall(stream);
  progress.call = call;
  const caller = await parts.verifyCaller(call);
  const allowed = allowedUse(call, caller, parts.now());
  progress.rule = allowed.rule.id;
  const { org, credential, request } = call;
  const { name, policy } = credential;
  const { method, body } = request;
  const asked = { org, credential: name, concurrency: policy.concurrency, rule: allowed.rule };
  const release = parts.limits.take(asked, performance.now());
  const link = new Link(parts.destinations, {
    target: { org, credential: name, origin: policy.origin, member: `${caller.issuer}\n${caller.subject}` },
    isRepeatable: body === "none" && (method === "GET" || method === "HEAD"),
    gone: stream.gone,
    patience: parts.patience,
  });
  try {
    const ready = await prepareUse(parts, stream, call, allowed, link);
    try {
      const end = await sendUse(stream, call, ready, link, progress);
      if (progress.status === 401 && "token" in policy.inject) parts.tokens.rejected(org, name);
      link.release();
      return end;
    } finally {
      ready.scrubber.forget();
    }
  } catch (error) {
    link.destroy();
    throw error;
  } finally {
    release();
  }
}

async function readCall(stream: CallStream): Promise<UseCall> {
  const frame = await stream.next(CALL_MS);
  const call = frame?.type === "call" ? parse(frame.payload) : undefined;
  if (Value.Check(UseCall, call)) return call;
  throw new UseFailure("malformed", "the call is malformed");
}

function parse(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** A request with the credential in it, that may be sent. */
interface Ready {
  request: Omit<Prepared, "secrets">;
  scrubber: Scrubber;
  /** The body, if it was read before. */
  whole: { bytes: Buffer; digest: string } | undefined;
}

/** All that is done before anything is sent: the credential is opened while the connection and the receipt are made. */
async function prepareUse(
  parts: UseParts,
  stream: CallStream,
  call: UseCall,
  allowed: AllowedUse,
  link: Link,
): Promise<Ready> {
  const { org, credential, request } = call;
  const { policy } = credential;
  const isToken = "token" in policy.inject;
  const token = isToken ? parts.tokens.accessToken(org, credential) : undefined;
  if (isToken && token === undefined) {
    throw new UseFailure("token_needed", "the broker has no access token for the credential");
  }
  const value = isToken ? new Uint8Array() : await openValue(parts.keys, call);
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
    if (!needsBody(policy.inject)) early = await prepare();
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

async function openValue(keys: KeyProvider, { org, credential }: UseCall): Promise<Uint8Array> {
  const { name, version, policy, material } = credential;
  const context = { org, credential: name, version: String(version), purpose: "broker" as const };
  return await openCredential(keys, { ...context, policy: brokerPolicyHash(policy) }, material);
}

async function readGo(stream: CallStream, { intent }: AllowedUse): Promise<IntentEntry> {
  const frame = await stream.next(GO_MS);
  const go = frame?.type === "go" ? parse(frame.payload) : undefined;
  if (!Value.Check(Go, go)) throw new UseFailure("malformed", "the call was not let go");
  checkReceipt(go.receipt, intent);
  return go.receipt.entry as IntentEntry;
}

async function sendUse(
  stream: CallStream,
  { credential, request: { method, body } }: UseCall,
  { request, scrubber, whole }: Ready,
  link: Link,
  progress: Progress,
): Promise<AnswerEnd> {
  const { origin } = credential.policy;
  let bodyDigest: string | undefined;
  const announced = typeof body === "object" ? body.bytes : body;
  const sent = {
    ...{ origin, method, path: request.path },
    headers: [...request.headers, ["Accept-Encoding", "identity"] as [string, string]],
    length: announced === "none" ? undefined : (whole?.bytes.length ?? announced),
  };
  progress.isSent = true;
  const { exchanged, response } = await link.exchange(sent, async (to) => {
    if (announced === "none") return to.end();
    if (!whole) {
      bodyDigest = await passBody(stream, body, to);
      return;
    }
    bodyDigest = whole.digest;
    if (whole.bytes.length > 0) await to.write(whole.bytes);
    to.end();
  });
  progress.status = response.statusCode ?? 0;
  await passAnswer(stream, exchanged, response, scrubber, origin);
  const { sentBytes, receivedBytes } = exchanged;
  return { sentBytes, receivedBytes, scrubbed: scrubber.hits, ...(bodyDigest && { bodyDigest }) };
}

/** Passes an answer on as it comes, without the credential. */
async function passAnswer(
  stream: CallStream,
  exchanged: Exchanged,
  { statusCode: status = 0, rawHeaders }: IncomingMessage,
  scrubber: Scrubber,
  origin: string,
): Promise<void> {
  const raw = rawHeaders.flatMap((name, index): [string, string][] =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? ""]] : [],
  );
  const head: AnswerHead = { status, headers: answerHeaders(raw, scrubber, origin) };
  if (!Value.Check(AnswerHead.properties.status, status)) {
    throw new UseFailure("answer_unusable", "the answer's status is none of HTTP");
  }
  stream.send("head", head);
  const scrub = new ScrubStream(scrubber);
  for await (const chunk of exchanged.body()) await stream.data(scrub.push(chunk));
  await stream.data(scrub.end());
}
