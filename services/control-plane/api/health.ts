import { Type } from "typebox";
import { StrongroomError } from "../../shared/errors.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";

const Status = <S extends string>(status: S) =>
  Type.Object({ status: Type.Literal(status) }, { additionalProperties: false });

/** Liveness, readiness, and the API's description. */
export function healthRoutes(app: Server, isReady: () => Promise<boolean>): void {
  app.get(
    "/v1/health",
    {
      config: { access: { open: "it only says that the service is alive" } },
      schema: { summary: "Check liveness", response: { 200: Status("alive") } },
    },
    async () => ({ status: "alive" as const }),
  );

  app.get(
    "/v1/ready",
    {
      config: { access: { open: "it only says whether the service is ready" } },
      schema: {
        summary: "Check readiness: the internal Vault answers, and the first reconcile pass is complete",
        response: { 200: Status("ready"), ...problems(503) },
      },
    },
    async () => {
      const ready = await isReady().catch((cause: unknown) => {
        throw new StrongroomError("internal_vault_unavailable", "The internal Vault does not answer.", {
          cause,
        });
      });
      if (!ready)
        throw new StrongroomError("internal_vault_unavailable", "The control plane is still starting.");
      return { status: "ready" as const };
    },
  );

  app.get(
    "/v1/openapi.json",
    {
      config: { access: { open: "the API's description is public" } },
      schema: {
        summary: "Get this API's description",
        response: { 200: Type.Unsafe<object>({ type: "object", additionalProperties: true }) },
      },
    },
    async () => app.swagger(),
  );
}
