import { Type } from "typebox";
import { StrongroomError } from "../../shared/errors.ts";
import type { Server } from "../../shared/http/server.ts";
import { problems } from "./openapi.ts";

const Status = <S extends string>(status: S) =>
  Type.Object({ status: Type.Literal(status) }, { additionalProperties: false });

/** Whether the service lives, whether it can do its work, and what its API is. */
export function healthRoutes(app: Server, isReady: () => Promise<boolean>): void {
  app.get(
    "/v1/health",
    {
      config: { access: { open: "says only that the service lives" } },
      schema: { summary: "Alive", response: { 200: Status("alive") } },
    },
    async () => ({ status: "alive" as const }),
  );

  app.get(
    "/v1/ready",
    {
      config: { access: { open: "says only that the service works" } },
      schema: {
        summary: "At work: the internal Vault answers, and every organization was looked at once",
        response: { 200: Status("ready"), ...problems(503) },
      },
    },
    async () => {
      const ready = await isReady().catch((cause: unknown) => {
        throw new StrongroomError("internal_vault_unavailable", "The internal Vault does not answer.", {
          cause,
        });
      });
      if (!ready) throw new StrongroomError("internal_vault_unavailable", "The start is not over yet.");
      return { status: "ready" as const };
    },
  );

  app.get(
    "/v1/openapi.json",
    {
      config: { access: { open: "the API's description is no secret" } },
      schema: {
        summary: "This API",
        response: { 200: Type.Unsafe<object>({ type: "object", additionalProperties: true }) },
      },
    },
    async () => app.swagger(),
  );
}
