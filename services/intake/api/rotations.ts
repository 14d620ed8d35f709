import { Type } from "typebox";
import { PageQuery } from "../../shared/api/pages.ts";
import { PutRotation, Rotation, RotationRun, RotationRunPage } from "../../shared/api/rotations.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name, WorkId } from "../../shared/work/messages.ts";
import { changePolicy } from "../broker/change-policy.ts";
import { callerOf, memberOf, receiptBy, useMemberOf } from "../http/caller.ts";
import { ConditionHeaders, etag, TaggedHeaders } from "../http/conditions.ts";
import type { RotationParts } from "../rotations/advance.ts";
import { asRotation, isSameRecipe } from "../rotations/records.ts";
import {
  checkRotation,
  deleteRotation,
  listRuns,
  putRotation,
  readRotation,
  readRun,
  rotatable,
  startRotation,
} from "../rotations/rotations.ts";

const Params = Type.Object({ name: Name }, { additionalProperties: false });
const RunParams = Type.Object({ name: Name, id: WorkId }, { additionalProperties: false });
const Tagged = { ...Rotation, headers: TaggedHeaders };

/** Rotations of credentials: put, get, delete, start, and their runs. */
export function rotationRoutes(app: Server, parts: RotationParts): void {
  const { intake } = parts;

  app.put(
    "/v1/credentials/:name/rotation",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Set when and how a credential is rotated",
        description:
          "A worker makes a new value by the recipe, which is part of the credential's policy, seals it at once, shows " +
          "that it works, and revokes the old one after the grace. Nobody sees either. A run that is under way goes on",
        params: Params,
        headers: ConditionHeaders,
        body: PutRotation,
        response: {
          200: Tagged,
          201: Tagged,
          ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 500, 503),
        },
      },
    },
    async (request, reply) => {
      const { org } = callerOf(request);
      const { name } = request.params;
      const { recipe, ...settings } = request.body;
      let credential = (await rotatable(intake, org, name)).body;
      if (recipe && !isSameRecipe(recipe, credential.destination.rotation)) {
        await checkRotation(intake, org, name, request.headers);
        credential = await changePolicy(parts, useMemberOf(request), {
          ...{ id: request.id, name, conditions: {}, at: "/body" },
          change: (policy) => ({ ...policy, rotation: recipe }),
        });
      }
      const put = await putRotation(intake, org, credential, settings, request.headers);
      return reply
        .code(put.isNew ? 201 : 200)
        .header("ETag", etag(put.rotation.version))
        .send(put.rotation);
    },
  );

  app.get(
    "/v1/credentials/:name/rotation",
    {
      config: { access: { right: "rotate" } },
      schema: {
        summary: "Get a credential's rotation, with the run that is under way",
        params: Params,
        response: { 200: Tagged, ...problems(400, 401, 403, 404, 409, 429, 503) },
      },
    },
    async (request, reply) => {
      const { rotation, credential } = await readRotation(intake, memberOf(request).org, request.params.name);
      return reply.header("ETag", etag(rotation.body.version)).send(asRotation(rotation.body, credential));
    },
  );

  app.delete(
    "/v1/credentials/:name/rotation",
    {
      config: { access: { level: "admin" } },
      schema: {
        summary: "Rotate a credential no more; the credential stays",
        params: Params,
        headers: ConditionHeaders,
        response: { 204: Type.Null(), ...problems(400, 401, 403, 404, 409, 412, 429, 503) },
      },
    },
    async (request, reply) => {
      await deleteRotation(intake, callerOf(request).org, request.params.name, request.headers);
      return reply.code(204).send(null);
    },
  );

  app.post(
    "/v1/credentials/:name/rotation/start",
    {
      config: { access: { right: "rotate" } },
      schema: {
        summary: "Rotate a credential now",
        params: Params,
        response: {
          202: { ...RotationRun, headers: { Location: Type.String({ description: "URL path of the run" }) } },
          ...problems(400, 401, 403, 404, 409, 429, 503),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const member = memberOf(request);
      const run = await startRotation(parts, member.org, name, receiptBy(member));
      return reply.code(202).header("Location", `/v1/credentials/${name}/rotation/runs/${run.id}`).send(run);
    },
  );

  app.get(
    "/v1/credentials/:name/rotation/runs",
    {
      config: { access: { right: "rotate" } },
      schema: {
        summary: "List a credential's rotations, the newest first; the last 50 are kept",
        params: Params,
        querystring: PageQuery,
        response: { 200: RotationRunPage, ...problems(400, 401, 403, 404, 409, 429, 503) },
      },
    },
    async (request) => listRuns(intake, memberOf(request).org, request.params.name, request.query),
  );

  app.get(
    "/v1/credentials/:name/rotation/runs/:id",
    {
      config: { access: { right: "rotate" } },
      schema: {
        summary: "Get one rotation of a credential",
        params: RunParams,
        response: { 200: RotationRun, ...problems(400, 401, 403, 404, 409, 429, 503) },
      },
    },
    async (request) => {
      const { name, id } = request.params;
      return readRun(intake, memberOf(request).org, name, id);
    },
  );
}
