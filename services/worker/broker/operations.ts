import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import { type Static, type TObject, Type } from "typebox";
import { Value } from "typebox/value";
import { type CallFailure, ForCaller } from "../../shared/broker/calls.ts";
import { asCallFailed, asUseFailure } from "./failures.ts";
import { UseFailure } from "./use-failure.ts";
import type { VerifiedCaller, VerifyCaller } from "./verified-caller.ts";

/** What an operation has beside its call. */
export interface OperationRun {
  /** Who sends it, as the broker has verified. */
  caller: VerifiedCaller;
  /** Aborted if the intake goes. */
  signal: AbortSignal;
  /** Something is sent to a provider from now on: a failure after this says so. */
  sends(): void;
}

/** A call of the intake with JSON: `POST /<name>`. */
export interface Operation {
  name: string;
  /** Of the body: closed, with the members of `ForCaller`. */
  schema: TObject;
  /** Answers with JSON. Throws UseFailure, JobFailure, EnvelopeRefused and KeyProviderError. */
  perform(call: never, run: OperationRun): Promise<object>;
}

/** An operation whose `perform` takes what its schema describes. */
export const operation = <S extends TObject>(
  name: string,
  schema: S,
  perform: (call: Static<S>, run: OperationRun) => Promise<object>,
): Operation => ({ name, schema, perform: perform as Operation["perform"] });

const MOST_BODY_BYTES = 512 * 1024;
const BODY_MS = 5_000;
const MOST_IN_HAND = 256;
const STATUS: Partial<Record<CallFailure, number>> = {
  malformed: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_allowed: 403,
  rate_limited: 429,
};

const Caller = Type.Object(ForCaller);

/** Returns a function that answers `POST /<operation>`. */
export function operationsHandler(
  operations: readonly Operation[],
  verifyCaller: VerifyCaller,
  logger: Logger,
): (path: string, request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const byPath = new Map(operations.map((each) => [`/${each.name}`, each]));
  let inHand = 0;

  return async (path, request, response) => {
    const began = performance.now();
    const gone = new AbortController();
    response.once("close", () => gone.abort(new UseFailure("cancelled", "the caller is gone")));
    response.on("error", () => {});
    let [isSent, outcome] = [false, "answered"];
    let about: { call?: string; org?: string } = {};
    inHand++;
    try {
      const operation = byPath.get(path);
      if (!operation) throw new UseFailure("malformed", "there is no such operation");
      if (inHand > MOST_IN_HAND) throw new UseFailure("rate_limited", "too many operations are in hand");
      const call = parse(await readText(request));
      if (!Value.Check(operation.schema, call) || !Value.Check(Caller, call)) {
        throw new UseFailure("malformed", "the call is malformed");
      }
      about = { call: call.id, org: call.org };
      const caller = await verifyCaller(call);
      const sends = () => {
        isSent = true;
      };
      const answer = await operation.perform(call as never, { caller, signal: gone.signal, sends });
      send(response, 200, answer);
    } catch (error) {
      const failure = asUseFailure(gone.signal.aborted ? gone.signal.reason : error);
      outcome = failure.failure;
      if (outcome === "internal") {
        logger.error({ ...about, operation: path, error: (error as Error).name }, "unexpected error");
      }
      send(response, STATUS[failure.failure] ?? 502, asCallFailed(failure, isSent));
    } finally {
      inHand--;
    }
    const ms = Math.round(performance.now() - began);
    logger.info(
      { ...about, operation: byPath.has(path) ? path.slice(1) : undefined, outcome, ms },
      "operation ended",
    );
  };
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response
    .writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) })
    .end(text);
}

async function readText(request: IncomingMessage): Promise<string> {
  const late = setTimeout(() => request.destroy(), BODY_MS);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MOST_BODY_BYTES) throw new UseFailure("malformed", "the call is too large");
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(late);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
