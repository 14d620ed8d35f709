import { Type } from "typebox";
import { Job } from "../../shared/api/jobs.ts";
import { isServed } from "../../shared/api/org-states.ts";
import { CreateOrg, OrgPage, OrgView } from "../../shared/api/orgs.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { OrgId, OrgName } from "../../shared/org.ts";
import { orgRecord, type Platform } from "../dependencies.ts";
import type { Engine } from "../jobs/engine.ts";
import { followOwner } from "../orgs/reassign.ts";
import { requestCreation, requestDeletion } from "../orgs/requests.ts";
import { asJob } from "./jobs.ts";
import { orgView } from "./org-view.ts";

const PAGE = 50;

const Params = Type.Object({ id: OrgId }, { additionalProperties: false });
const Query = Type.Object(
  {
    limit: Type.Optional(
      Type.String({ pattern: "^([1-9][0-9]?|100)$", description: "1 to 100 organizations; 50 by default" }),
    ),
    cursor: Type.Optional(Type.String({ ...OrgId, description: "`next` of the previous page" })),
    name: Type.Optional(
      Type.String({ ...OrgName, description: "Only the organization that currently has this name" }),
    ),
  },
  { additionalProperties: false },
);
const Accepted = { headers: { Location: Type.String({ description: "URL path of the job" }) } };

/** Organizations: create, get, change, delete. */
export function orgRoutes(app: Server, platform: Platform, engine: Engine): void {
  const { registry, runtime } = platform;
  const view = async (id: string): Promise<OrgView> =>
    orgView(await orgRecord(platform, id), await runtime.observe(id));

  app.post(
    "/v1/orgs",
    {
      config: { access: { permission: engine.workflows.create.permission } },
      schema: {
        summary: "Onboard an organization",
        headers: Type.Object({
          "idempotency-key": Type.Optional(
            Type.String({
              pattern: "^[\\x20-\\x7e]{1,200}$",
              description: "The same request with the same key returns the same job",
            }),
          ),
        }),
        body: CreateOrg,
        response: { 202: { ...Job, ...Accepted }, ...problems(400, 401, 403, 409, 413, 415, 422, 503) },
      },
    },
    async (request, reply) => {
      const job = await requestCreation(platform, engine, request.body, {
        subject: request.operator?.subject ?? "",
        idempotencyKey: request.headers["idempotency-key"],
      });
      return reply.code(202).header("Location", `/v1/jobs/${job.id}`).send(asJob(job));
    },
  );

  app.get(
    "/v1/orgs",
    {
      config: { access: { permission: "orgs:read" } },
      schema: {
        summary: "List organizations, ordered by id",
        querystring: Query,
        response: { 200: OrgPage, ...problems(400, 401, 403, 503) },
      },
    },
    async (request) => {
      const { limit = String(PAGE), cursor = "", name } = request.query;
      if (name !== undefined) {
        const found = await registry.names.read(name);
        return { orgs: found ? [await view(found.value.org)] : [] };
      }
      const ids = (await registry.orgs.keys()).filter((id) => id > cursor).sort();
      const page = ids.slice(0, Number(limit));
      const next = page.length < ids.length ? page.at(-1) : undefined;
      return { orgs: await Promise.all(page.map(view)), ...(next && { next }) };
    },
  );

  app.get(
    "/v1/orgs/:id",
    {
      config: { access: { permission: "orgs:read" } },
      schema: {
        summary: "Get an organization",
        params: Params,
        response: { 200: OrgView, ...problems(400, 401, 403, 404, 503) },
      },
    },
    async (request) => view(request.params.id),
  );

  app.put(
    "/v1/orgs/:id/machine-tokens",
    {
      config: { access: { permission: "orgs:machine-tokens" } },
      schema: {
        summary: "Enable or disable machine tokens for an organization at the gateways",
        description: "Its Vault creates none until an operator has configured it for them",
        params: Params,
        body: Type.Object({ enabled: Type.Boolean() }, { additionalProperties: false }),
        response: { 200: OrgView, ...problems(400, 401, 403, 404, 409, 413, 415, 503) },
      },
    },
    async (request) => {
      const { id } = await orgRecord(platform, request.params.id);
      const { enabled } = request.body;
      const changed = await registry.orgs.update(id, ({ machineTokens: _, ...record }) =>
        isServed(record) && enabled ? { ...record, machineTokens: true } : record,
      );
      if (!isServed(changed)) throw new StrongroomError("conflict", `The organization is ${changed.state}.`);
      await platform.directory.publish();
      return view(id);
    },
  );

  app.put(
    "/v1/orgs/:id/owner",
    {
      config: { access: { permission: "orgs:reassign" } },
      schema: {
        summary: "Update the registry and the directory to the owner that an operator has recorded",
        description: "Only an operator's login at the internal Vault can change the owner's record",
        params: Params,
        response: { 200: OrgView, ...problems(400, 401, 403, 404, 409, 413, 415, 503) },
      },
    },
    async (request) => {
      await followOwner(platform, request.params.id);
      return view(request.params.id);
    },
  );

  app.delete(
    "/v1/orgs/:id",
    {
      config: { access: { permission: engine.workflows.delete.permission } },
      schema: {
        summary: "Delete an organization: take it out of service and keep its storage",
        params: Params,
        response: { 202: { ...Job, ...Accepted }, ...problems(400, 401, 403, 404, 409, 413, 415, 503) },
      },
    },
    async (request, reply) => {
      const job = await requestDeletion(platform, engine, request.params.id);
      return reply.code(202).header("Location", `/v1/jobs/${job.id}`).send(asJob(job));
    },
  );
}
