import type { IncomingMessage } from "node:http";
import type { Logger } from "pino";
import { Value } from "typebox/value";
import {
  type AnswerEnd,
  AnswerHead,
  type SealedCredential,
  type UseCall,
} from "../../shared/broker/calls.ts";
import type { Exchanged, Patience } from "../outbound/stream.ts";
import type { Scrubber } from "../scrub/scrubber.ts";
import { ScrubStream } from "../scrub/stream.ts";
import { allowedUse } from "./allowed-use.ts";
import { answerHeaders } from "./answer-headers.ts";
import { passBody } from "./body.ts";
import { type CallStream, parseFrame } from "./call-stream.ts";
import type { Destinations } from "./destinations.ts";
import { asCallFailed, asUseFailure } from "./failures.ts";
import { isUseCall } from "./is-use-call.ts";
import type { UseLimits } from "./limits.ts";
import { Link } from "./link.ts";
import { type PrepareParts, prepareUse, type Ready } from "./prepare-use.ts";
import type { Tokens } from "./token/tokens.ts";
import { UseFailure } from "./use-failure.ts";
import type { VerifyCaller } from "./verified-caller.ts";

/** For the first frame, once the request has come. */
const CALL_MS = 5_000;

export interface UseParts extends PrepareParts {
  destinations: Destinations;
  verifyCaller: VerifyCaller;
  limits: UseLimits;
  /** Has the access tokens for credentials whose policy injects one. */
  tokens: Pick<Tokens, "accessToken" | "rejected">;
  logger: Logger;
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
  // Before the call is counted: the intake obtains the token and calls again.
  const token = "token" in policy.inject ? accessToken(parts.tokens, org, credential) : undefined;
  const asked = { org, credential: name, concurrency: policy.concurrency, rule: allowed.rule };
  const release = parts.limits.take(asked, performance.now());
  const link = new Link(parts.destinations, {
    target: { org, credential: name, origin: policy.origin, member: `${caller.issuer}\n${caller.subject}` },
    isRepeatable: body === "none" && (method === "GET" || method === "HEAD"),
    gone: stream.gone,
    patience: parts.patience,
  });
  try {
    const ready = await prepareUse(parts, stream, call, allowed, link, token);
    try {
      const end = await sendUse(stream, call, ready, link, progress);
      if (progress.status === 401 && token !== undefined) parts.tokens.rejected(org, name);
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

/** The access token that goes with a request. Throws UseFailure `token_needed` if the broker has none. */
function accessToken(tokens: UseParts["tokens"], org: string, credential: SealedCredential): string {
  const token = tokens.accessToken(org, credential);
  if (token !== undefined) return token;
  throw new UseFailure("token_needed", "the broker has no access token for the credential");
}

async function readCall(stream: CallStream): Promise<UseCall> {
  const frame = await stream.next(CALL_MS);
  const call = frame?.type === "call" ? parseFrame(frame) : undefined;
  if (isUseCall(call)) return call;
  throw new UseFailure("malformed", "the call is malformed");
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
