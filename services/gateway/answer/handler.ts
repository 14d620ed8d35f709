import type { FastifyReply, FastifyRequest } from "fastify";
import { found } from "../../shared/front/passage.ts";
import type { Secret } from "../../shared/secret.ts";
import type { GatewayPassage } from "../passage.ts";
import type { Logins } from "../upstream/logins.ts";

/** A request that was let in, with its body if it takes one, which has been checked. */
export interface Asked {
  request: FastifyRequest;
  reply: FastifyReply;
  passage: GatewayPassage;
  body: Buffer | undefined;
}

/** Answers requests of one kind. Throws what the caller is told instead. */
export type Handler = (asked: Asked) => FastifyReply | Promise<FastifyReply>;

/** A token of the organization's Vault for whoever asks. Throws as {@link Logins.tokenFor} does. */
export async function vaultTokenOf(
  logins: Logins,
  { machine, identity, upstream, trace }: GatewayPassage,
): Promise<Secret> {
  if (machine) return machine.token;
  return logins.tokenFor(upstream, found("caller", identity), trace.requestId);
}
