import { hash, randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent } from "undici";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import type { Part } from "../harness/part.ts";
import type { Handler } from "../harness/token-endpoint.ts";

/** What only bounds a hang. */
const END_WITHIN_MS = 120_000;
const MOST_WAIT_MS = 800;
/** Longer than the longest answer, and than the intake's tries at its store. */
const ANSWER_MS = 30_000;
const PIECE = Buffer.alloc(16_384, "x");
const PIECES = 16;

/** How a destination answers; by the last segment of the path. */
export const ANSWERS = ["whole", "slow", "large", "refused", "broken", "cut"] as const;
export type AnswerKind = (typeof ANSWERS)[number];
/** Nobody may say of such an answer that it came. */
export const isPartial = (kind: AnswerKind): boolean => kind === "broken" || kind === "cut";

/**
 * How a call is sent: `read` with GET, so that it may be repeated; `short` with a body whose digest is in the receipt's
 * intent; `streamed` with one whose digest is known when it has ended.
 */
export const SORTS = ["read", "short", "streamed"] as const;
export type Sort = (typeof SORTS)[number];
const METHOD = { read: "GET", short: "POST", streamed: "PUT" } as const;
/** The path pattern of each sort's rule, as receipts name it. */
export const PATTERN = { read: "/v1/read/*", short: "/v1/short/*", streamed: "/v1/streamed/*" } as const;

/** One request of a caller's. The body is its id, so its digest names it in receipts. */
export interface Call {
  id: string;
  claim: string;
  sort: Sort;
  kind: AnswerKind;
}

export const bodyOf = ({ id }: Pick<Call, "id">): Buffer => Buffer.from(JSON.stringify({ call: id }));
export const digestOf = (id: string): string => hash("sha256", bodyOf({ id }), "base64url");

/** A request as it reached the destination, recorded before its body has come. */
export interface Reached {
  id: string;
  /** The destination has handed over a whole answer. */
  isAnswered: boolean;
}

/** A destination that records what reaches it by the caller's header `X-Call`, and answers as the path says. */
export class CountingDestination {
  readonly reached: Reached[] = [];
  readonly handler: Handler = (request, response) => this.#take(request, response);

  has(id: string): boolean {
    return this.reached.some((each) => each.id === id);
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const kind = request.url?.split("/").at(-1) as AnswerKind;
    const reached: Reached = { id: String(request.headers["x-call"]), isAnswered: false };
    this.reached.push(reached);
    response.once("finish", () => {
      reached.isAnswered = !isPartial(kind);
    });
    request.resume().once("end", () => void answer(kind, response));
  }
}

async function answer(kind: AnswerKind, response: ServerResponse): Promise<void> {
  if (kind === "broken") return void response.destroy();
  if (kind === "cut") {
    response.writeHead(200, { "Content-Length": 2 * PIECE.length });
    return void response.write(PIECE, () => response.destroy());
  }
  if (kind === "slow") await sleep(150);
  response.writeHead(kind === "refused" ? 422 : 200);
  if (kind === "large") {
    for (let piece = 0; piece < PIECES; piece++) {
      response.write(PIECE);
      await sleep(5);
    }
  }
  response.end(PIECE.subarray(0, 100));
}

/** A policy whose rules allow what {@link SORTS} and {@link ANSWERS} send. */
export const loadPolicy = (origin: string): BrokerPolicy => ({
  ...{ origin, inject: { header: "Authorization", format: "Bearer {}" } },
  rules: SORTS.map((sort) => ({
    ...{ id: sort, methods: [METHOD[sort]], paths: [PATTERN[sort]], who: { level: "writer" as const } },
  })),
});

/** What the caller got. */
export interface Got {
  /** Undefined if no answer came, or not all of it. */
  status: number | undefined;
  /** Whose answer it was. */
  from: string | undefined;
  receipt: string | undefined;
  code: string | undefined;
  /** Why no answer came. */
  error: string | undefined;
}

/** Callers who go on calling while parts of the platform die. */
export class BrokerCallers {
  readonly #agent = new Agent({ connections: 64, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS });
  readonly #address: string;
  readonly #token: (claim: string) => string;

  constructor(address: string, token: (claim: string) => string) {
    this.#address = address;
    this.#token = token;
  }

  /** Sends one request. Does not throw. */
  async send(call: Call, signal?: AbortSignal): Promise<Got> {
    const { id, claim, sort, kind } = call;
    const none = { status: undefined, from: undefined, receipt: undefined, code: undefined };
    const got: Got = { ...none, error: undefined };
    try {
      const answered = await this.#agent.request({
        ...{ origin: this.#address, path: `/v1/use/provider/v1/${sort}/${kind}`, method: METHOD[sort] },
        headers: {
          ...{ authorization: `Bearer ${this.#token(claim)}`, "x-call": id },
          ...(sort !== "read" && { "content-type": "application/json" }),
        },
        body: sort === "read" ? null : sort === "short" ? bodyOf(call) : Readable.from(pieces(bodyOf(call))),
        ...(signal && { signal }),
      });
      const { "strongroom-answer": from, "strongroom-receipt": receipt } = answered.headers;
      Object.assign(got, { from, receipt });
      const text = await answered.body.text();
      got.status = answered.statusCode;
      if (from === "platform") got.code = JSON.parse(text).code;
    } catch (error) {
      // The intake has died, or cut the answer off.
      got.error = String(error);
    }
    return got;
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}

async function* pieces(body: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += 10) {
    yield body.subarray(at, at + 10);
    await new Promise(setImmediate);
  }
}

export interface BrokerLoad {
  /** At least so many; more on a fast machine, until each part was killed. */
  calls: number;
  claims: string[];
  callers: BrokerCallers;
  destination: CountingDestination;
  /** What `kill -9` meets, each of them again and again. */
  parts: Part[];
  /** How long a part lives, about, until it is killed. */
  liveMs: number;
  inFlight: number;
  random: () => number;
}

export interface BrokerLoadOutcome {
  /** Everything that callers sent, by its id; a call that did not reach the destination is sent anew, under another. */
  sent: Map<string, { call: Call; got: Got }>;
  kills: Record<string, number>;
  seconds: number;
}

/** Has so many calls reach their destination, or end, amid kills of every part. Resolves when all parts are up again. */
export async function callsWithKills(load: BrokerLoad): Promise<BrokerLoadOutcome> {
  const { calls, claims, callers, destination, parts, liveMs, random } = load;
  const outcome: BrokerLoadOutcome = { sent: new Map(), kills: {}, seconds: 0 };
  const began = performance.now();
  const done = new AbortController();
  /** A part lives at least as long as it took to start, or the load would never end. */
  const kill = async (part: Part) => {
    for (let lifeMs = liveMs; ; ) {
      await sleep(lifeMs * (0.5 + random()), undefined, { signal: done.signal }).catch(() => {});
      if (done.signal.aborted) return;
      outcome.kills[part.name] = (outcome.kills[part.name] ?? 0) + 1;
      const killedAt = performance.now();
      await part.restart();
      lifeMs = Math.max(liveMs, performance.now() - killedAt);
    }
  };
  const killing = Promise.all(parts.map(kill));
  // A part that does not start again ends the load.
  killing.catch(() => done.abort());
  let next = 0;
  const isEnough = () => next >= calls && parts.every(({ name }) => outcome.kills[name]);
  const drive = async () => {
    while (!isEnough() && !done.signal.aborted) {
      const index = next++;
      const about = {
        claim: claims[index % claims.length] ?? "",
        sort: SORTS[Math.floor(random() * SORTS.length)] ?? "read",
        // Most answers are whole.
        kind:
          random() < 0.5 ? ("whole" as const) : (ANSWERS[Math.floor(random() * ANSWERS.length)] ?? "whole"),
      };
      const until = Date.now() + END_WITHIN_MS;
      const tries: string[] = [];
      for (let wait = 25; ; wait = Math.min(2 * wait, MOST_WAIT_MS)) {
        const call: Call = { id: randomUUID(), ...about };
        const got = await callers.send(call);
        outcome.sent.set(call.id, { call, got });
        tries.push(got.error ?? `${got.status} ${got.code}`);
        if (destination.has(call.id) || got.from === "destination" || done.signal.aborted) break;
        if (Date.now() > until) {
          throw new Error(`${JSON.stringify(call)} does not get through:\n${tries.join("\n")}`);
        }
        await sleep(wait);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(load.inFlight, calls) }, drive));
  } finally {
    done.abort();
  }
  await killing;
  outcome.seconds = Math.round(performance.now() - began) / 1000;
  return outcome;
}
