import type { FastifyReply, FastifyRequest } from "fastify";
import { found } from "../../shared/front/passage.ts";
import type { Secret } from "../../shared/secret.ts";
import type { GatewayPassage } from "../passage.ts";
import type { Logins } from "../upstream/logins.ts";

/** An admitted request, with its checked body if its verb takes one. */
export interface Asked {
  request: FastifyRequest;
  reply: FastifyReply;
  passage: GatewayPassage;
  body: Buffer | undefined;
}

/** Answers requests of one kind. Throws the error to send instead. */
export type Handler = (asked: Asked) => FastifyReply | Promise<FastifyReply>;

/** The caller's token at the organization's Vault. Throws as {@link Logins.tokenFor} does. */
export async function vaultTokenOf(
  logins: Logins,
  { machine, identity, upstream, trace }: GatewayPassage,
): Promise<Secret> {
  if (machine) return machine.token;
  return logins.tokenFor(upstream, found("caller", identity), trace.requestId);
}
