import type { IncomingMessage } from "node:http";
import type { FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { StrongroomError } from "../errors.ts";
import type { Server } from "../http/server.ts";
import type { Issuer } from "../org.ts";
import { type Authenticator, type Identity, registerIdentity } from "./identity/identity.ts";
import type { DirectorySource, LoadedDirectory } from "./published/directory-source.ts";

const NO_ISSUERS: readonly Issuer[] = [];

export interface AuthenticateOptions {
  directory: DirectorySource;
  logger: Logger;
  maxTokenLifetimeSeconds: number;
  now: () => number;
}

/** A verified caller, and the directory that the rest of the request goes by. */
export interface Caller {
  identity: Identity;
  directory: LoadedDirectory;
}

/**
 * Gives the functions that verify a request's token with the issuers in the directory. `authenticate` throws
 * TokenRefused (401), `issuer_keys_unreachable` or `directory_unavailable` (503); `recall` gives a caller whose
 * token was verified before and is still good.
 */
export function registerAuthentication(
  app: Server,
  { directory, logger, maxTokenLifetimeSeconds, now }: AuthenticateOptions,
): {
  authenticate(request: FastifyRequest, token?: string): Promise<Caller>;
  recall(request: IncomingMessage): Caller | undefined;
} & Pick<Authenticator, "prefetchKeys"> {
  const { authenticate, recall, prefetchKeys } = registerIdentity(app, {
    issuers: () => directory.current?.issuers ?? NO_ISSUERS,
    logger,
    maxLifetimeSeconds: maxTokenLifetimeSeconds,
    now,
  });
  return {
    prefetchKeys,
    recall(request) {
      const { current } = directory;
      const identity = current && recall(request);
      return identity && { identity, directory: current };
    },
    async authenticate(request, token) {
      const { current } = directory;
      if (!current) {
        throw new StrongroomError(
          "directory_unavailable",
          "The gateway has no directory of organizations yet.",
        );
      }
      return { identity: await authenticate(request, token), directory: current };
    },
  };
}
