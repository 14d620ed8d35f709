import { Type } from "typebox";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import type { Signing } from "../receipts/checkpoints.ts";

const Status = <S extends string>(status: S) =>
  Type.Object({ status: Type.Literal(status) }, { additionalProperties: false });

const Ready = Type.Object(
  {
    status: Type.Literal("ready"),
    checkpoints: Type.Optional(
      Type.Literal("not signed", {
        description: "Receipts are written, and their checkpoints cannot be signed now",
      }),
    ),
  },
  { additionalProperties: false },
);

/** Liveness, readiness, and the API's description. `check` throws a StrongroomError that says what is missing. */
export function healthRoutes(app: Server, check: () => Promise<void>, signing: Readonly<Signing>): void {
  app.get(
    "/v1/health",
    {
      config: { access: { open: "it only says that the service is alive" } },
      schema: { summary: "Check liveness", response: { 200: Status("alive"), ...problems(429) } },
    },
    async () => ({ status: "alive" as const }),
  );

  app.get(
    "/v1/ready",
    {
      config: { access: { open: "it only says whether the service is ready" } },
      schema: {
        summary: "Check readiness: store and key providers respond, directory and revocations are loaded",
        response: { 200: Ready, ...problems(429, 503) },
      },
    },
    async () => {
      await check();
      return { status: "ready" as const, ...(signing.isFailing && { checkpoints: "not signed" as const }) };
    },
  );

  app.get(
    "/v1/openapi.json",
    {
      config: { access: { open: "the API's description is public" } },
      schema: {
        summary: "Get this API's description",
        response: {
          200: Type.Unsafe<object>({ type: "object", additionalProperties: true }),
          ...problems(429),
        },
      },
    },
    async () => app.swagger(),
  );
}
