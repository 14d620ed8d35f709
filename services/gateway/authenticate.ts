import type { FastifyRequest } from "fastify";
import type { Logger } from "pino";
import type { DirectorySource, LoadedDirectory } from "../shared/directory/load.ts";
import { StrongroomError } from "../shared/errors.ts";
import type { Server } from "../shared/http/server.ts";
import { type Authenticator, type Identity, registerIdentity } from "../shared/identity/identity.ts";
import type { Issuer } from "../shared/org.ts";

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
 * Gives the function that verifies a request's token with the issuers in the directory. It throws
 * TokenRefused (401), `issuer_keys_unreachable` or `directory_unavailable` (503).
 */
export function registerAuthentication(
  app: Server,
  { directory, logger, maxTokenLifetimeSeconds, now }: AuthenticateOptions,
): { authenticate(request: FastifyRequest, token?: string): Promise<Caller> } & Pick<
  Authenticator,
  "remembers" | "prefetchKeys"
> {
  const { authenticate, remembers, prefetchKeys } = registerIdentity(app, {
    issuers: () => directory.current?.issuers ?? NO_ISSUERS,
    logger,
    maxLifetimeSeconds: maxTokenLifetimeSeconds,
    now,
  });
  return {
    remembers,
    prefetchKeys,
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
