import { hash, randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { UseCall } from "../../shared/broker/calls.ts";
import { isInUrl } from "../../shared/broker/inject.ts";
import { asRuleRequest } from "../../shared/broker/rule-request.ts";
import { matchRule, type Rule } from "../../shared/broker/rules.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { Intent } from "../../shared/receipts/receipt.ts";
import type { LastUsed } from "../credentials/last-used.ts";
import { brokerCredential, type UsableCredential } from "../credentials/load.ts";
import type { BrokerRecord } from "../credentials/records.ts";
import type { Intake } from "../dependencies.ts";
import { unboundBodyTime } from "../http/body-time.ts";
import { receiptBy, ruleCaller, type UseMember } from "../http/caller.ts";
import type { Receipts } from "../receipts/receipts.ts";
import { putVersion } from "../tokens/save.ts";
import { Attempt, type Body, tooLarge } from "./attempt.ts";
import { CallRefused, notAllowed } from "./failures.ts";
import { bodyLength, passedHeaders, withoutInjected } from "./headers.ts";
import { Relay } from "./relay.ts";
import type { CallSlots } from "./slots.ts";
import { type UseTarget, useTarget } from "./target.ts";

/** A body of this length is read before it is sent, and its digest is in the receipt's intent. */
const READ_FIRST_BYTES = 256 * 1024;

export interface BrokerUseParts {
  intake: Intake;
  receipts: Receipts;
  lastUsed: LastUsed;
  slots: CallSlots;
  /** Has the broker obtain the access token that it needs for a credential, as this member. */
  obtainToken(member: UseMember, credential: string): Promise<void>;
}

/**
 * Uses a credential for one request, and relays the destination's answer. Throws, with nothing of an answer sent:
 * `invalid_path`, `invalid_request`, `not_found`, `conflict` for a credential of jobs, `credential_disabled`,
 * `use_not_allowed` with the part that no rule allows, `too_many_requests`, `body_too_large`, `receipts_unavailable`, and
 * the failures of the broker and the destination.
 */
export async function useCredential(
  parts: BrokerUseParts,
  member: UseMember,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const asked = askedOf(request, parts.intake.uses.mostBodyBytes);
  const { credential, length } = asked;
  const use = { asked, member, request, reply };
  const usable = await usableByBroker(parts.intake, member, asked);
  const release = parts.slots.take(member.org, credential);
  try {
    const { raw } = request;
    const isShort = typeof length === "number" && length <= READ_FIRST_BYTES;
    const streamed = { stream: raw, mostBytes: asked.mostBytes };
    const body = length === undefined ? undefined : isShort ? await readBody(raw, length) : streamed;
    try {
      await attempt(parts, { ...use, ...usable, body, id: request.id });
    } catch (error) {
      const isTokenNeeded = error instanceof CallRefused && error.failed.failure === "token_needed";
      const isRead = !isShort && raw.readableFlowing !== null;
      if (!isTokenNeeded || isRead) throw error;
      await parts.obtainToken(member, credential);
      // It may have a new version: a provider replaces refresh tokens.
      const renewed = await usableByBroker(parts.intake, member, asked);
      await attempt(parts, { ...use, ...renewed, body, id: randomUUID() });
    }
  } finally {
    release();
  }
}

interface Asked extends UseTarget {
  method: UseCall["request"]["method"];
  headers: [string, string][];
  contentType: string | undefined;
  /** Of the body; undefined without one. */
  length: number | "chunked" | undefined;
  mostBytes: number;
}

/** What a caller asks for, from the request as it came. */
function askedOf({ raw, method }: FastifyRequest, mostBytes: number): Asked {
  const target = useTarget(raw.url ?? "");
  const length = bodyLength(method, raw.headers);
  if (typeof length === "number" && length > mostBytes) throw tooLarge(mostBytes);
  const contentType = raw.headers["content-type"];
  const headers = passedHeaders(raw);
  // The router has taken no other method.
  return { ...target, method: method as Asked["method"], headers, contentType, length, mostBytes };
}

interface Usable {
  usable: UsableCredential<BrokerRecord>;
  rule: Rule;
  pattern: string;
}

/** The credential, and the rule that allows the request. */
async function usableByBroker(
  { store, now }: Pick<Intake, "store" | "now">,
  member: UseMember,
  { credential, method, target, length, contentType }: Asked,
): Promise<Usable> {
  const usable = await brokerCredential(store, member.org, credential);
  const { record } = usable;
  if (record.disabled) {
    throw new StrongroomError("credential_disabled", "The credential is disabled. Enable it to use it.");
  }
  const request = asRuleRequest(method, target, length === undefined ? undefined : { contentType });
  const match = matchRule(record.destination.rules, ruleCaller(member), request, now());
  if ("denied" in match) throw notAllowed(match.denied);
  return { usable, ...match };
}

/** Reads a body whole. Throws if its connection breaks before. */
async function readBody(raw: IncomingMessage, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of raw as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
  if (body.length !== length) throw new StrongroomError("invalid_request", "The body broke off.");
  return body;
}

interface Use extends Usable {
  asked: Asked;
  member: UseMember;
  request: FastifyRequest;
  reply: FastifyReply;
  body: Body;
  /** The request's, and its receipt's. */
  id: string;
}

async function attempt({ intake, receipts, lastUsed }: BrokerUseParts, use: Use): Promise<void> {
  const { asked, member, request, reply, body, id, usable } = use;
  const { record, material } = usable;
  const { method, target: path, length } = asked;
  const headers = withoutInjected(asked.headers, record.destination.inject);
  const announced = length === undefined ? "none" : length === "chunked" ? length : { bytes: length };
  reply.header("Strongroom-Receipt", id);
  const made = new Attempt({
    ...{ broker: intake.broker, receipts, intent: intentOf(use), body, trace: request.trace },
    relay: new Relay(reply, id),
    call: {
      ...{ id, token: member.identity.token.reveal(), org: member.org },
      credential: {
        ...{ name: record.name, version: record.version, since: putVersion(record) },
        ...{ policy: record.destination, material },
      },
      request: { method, path, headers, body: announced },
    },
  });
  lastUsed.record(member.org, record.name);
  const { raw } = reply;
  const gone = () => {
    if (!raw.writableFinished) made.cancel();
  };
  raw.once("close", gone);
  if (raw.destroyed) gone();
  if (body !== undefined && !Buffer.isBuffer(body)) unboundBodyTime(request.raw);
  try {
    await made.ended;
  } finally {
    raw.off("close", gone);
  }
}

function intentOf({ usable, rule, pattern, member, asked, body, id }: Use): Intent {
  const { name, version, destination } = usable.record;
  return {
    ...{
      id,
      action: "use",
      by: receiptBy(member),
      credential: name,
      version,
      host: new URL(destination.origin).host,
    },
    ...{ method: asked.method, pathPattern: pattern, rule: rule.id },
    ...(Buffer.isBuffer(body) && { bodyDigest: hash("sha256", body, "base64url") }),
    ...(isInUrl(destination.inject) && { inUrl: true }),
  };
}
