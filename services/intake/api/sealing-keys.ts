import { RotateSealingKeyQuery, SealingKeys, SealingKeysQuery } from "../../shared/api/credentials.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { callerOf } from "../http/caller.ts";
import { rotateSealingKey, type SealingParts, sealingKeys } from "../sealing-keys/sealing-keys.ts";

/** The keys to which an organization's members seal credentials before they send them. */
export function sealingKeyRoutes(app: Server, parts: SealingParts): void {
  app.get(
    "/v1/sealing-keys",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Get the organization's public keys for a purpose, the current one first",
        description: "The first call has a worker make the first key, and may have to be repeated",
        querystring: SealingKeysQuery,
        response: { 200: SealingKeys, ...problems(400, 401, 403, 409, 429, 503) },
      },
    },
    async (request) => {
      const { purpose = "integration", credential } = request.query;
      return sealingKeys(parts, { org: callerOf(request).org, purpose }, credential);
    },
  );

  app.post(
    "/v1/sealing-keys/rotate",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Have a new key made; what was sealed to older ones still opens",
        description:
          "Older keys to which no credential is sealed any more are dropped, with their private halves. A credential " +
          "that was sealed anew needs none",
        querystring: RotateSealingKeyQuery,
        response: { 200: SealingKeys, ...problems(400, 401, 403, 409, 429, 503) },
      },
    },
    async (request) => {
      const { purpose = "integration" } = request.query;
      return rotateSealingKey(parts, { org: callerOf(request).org, purpose });
    },
  );
}
