import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import { StrongroomError } from "../../shared/errors.ts";
import {
  MadeRevocation,
  NewRevocation,
  Revocation,
  TokenDigest,
} from "../../shared/front/published/revocations.ts";
import type { Server } from "../../shared/http/server.ts";
import { OrgId } from "../../shared/org.ts";
import { orgRecord, type Platform } from "../dependencies.ts";
import type { OrgRecord } from "../registry/records.ts";
import { problems } from "./openapi.ts";
import { sendSigned, signedDocument } from "./signed-document.ts";

const Params = Type.Object({ id: OrgId }, { additionalProperties: false });

/** What a gateway passes on: its caller's own token. */
const OwnToken = Type.Object(
  {
    org: OrgId,
    token: Type.String({ ...TokenDigest, description: "SHA-256 of its signing input (base64url)" }),
    expiresAt: Type.Integer({ minimum: 0, maximum: 2 ** 40, description: "Its `exp`, seconds since 1970" }),
  },
  { additionalProperties: false },
);

/** Revocations: add one, see an organization's, and the signed list that gateways poll. */
export function revocationRoutes(app: Server, platform: Platform): void {
  const { revocations, now } = platform;

  app.get(
    "/v1/revocations",
    {
      config: { access: { open: "it is signed, holds no token, and gateways hold no credential" } },
      schema: signedDocument("All revocations, a compact JWS"),
    },
    async (request, reply) => {
      const current = await revocations.current();
      return sendSigned(reply as FastifyReply, request.headers["if-none-match"], current);
    },
  );

  app.post(
    "/v1/revocations",
    {
      config: {
        access: {
          open: "gateways hold no credential; only who has a token can name it, and it can be named only to end it",
        },
      },
      schema: {
        summary: "End a token, for a gateway whose caller asked to end its own",
        body: OwnToken,
        response: { 204: Type.Null({ description: "In force" }), ...problems(400, 404, 413, 415, 429, 503) },
      },
    },
    async (request, reply) => {
      const { org, token, expiresAt } = request.body;
      const owner = ownerOf(await orgRecord(platform, org));
      const ends = Math.min(expiresAt, revocations.latestEnd());
      if (ends * 1000 > now().getTime()) await revocations.add(owner, { token, ends }, "gateway");
      return reply.code(204).send(null);
    },
  );

  app.post(
    "/v1/orgs/:id/revocations",
    {
      config: { access: { permission: "orgs:revoke" } },
      schema: {
        summary: "End tokens of an organization before their time",
        description: "On return it is in force here; gateways learn of it within a second or two",
        params: Params,
        body: NewRevocation,
        response: { 201: MadeRevocation, ...problems(400, 401, 403, 404, 413, 415, 429, 503) },
      },
    },
    async (request, reply) => {
      const org = await orgRecord(platform, request.params.id);
      const revocation = complete(request.body, Math.floor(now().getTime() / 1000), revocations.latestEnd());
      await revocations.add(ownerOf(org), revocation, "operator");
      return reply.code(201).send({ ...revocation, ...(org.machineTokens && livesOn(org.id, revocation)) });
    },
  );

  app.get(
    "/v1/orgs/:id/revocations",
    {
      config: { access: { permission: "orgs:read" } },
      schema: {
        summary: "The revocations of an organization that have not ended",
        params: Params,
        response: {
          200: Type.Object({ revocations: Type.Array(Revocation) }, { additionalProperties: false }),
          ...problems(400, 401, 403, 404, 503),
        },
      },
    },
    async (request) => {
      const owner = ownerOf(await orgRecord(platform, request.params.id));
      return { revocations: await revocations.of(owner) };
    },
  );
}

const ownerOf = ({ issuer, claim }: OrgRecord) => ({ issuer: issuer.issuer, claim });

/**
 * What a revocation does not end: Vault's own tokens that its holder made for machines. Whoever ends them needs a
 * login at the organization's Vault that the control plane does not have.
 */
function livesOn(org: string, revocation: Revocation): Pick<MadeRevocation, "machineTokens"> {
  const command = `strongroom org machine-tokens ${org}`;
  const machineTokens =
    "subject" in revocation
      ? {
          detail:
            "Machine tokens that this subject made live on, for a day at most, until the command is run.",
          command: `${command} revoke --made-by ${shellQuoted(revocation.subject)}`,
        }
      : {
          detail:
            "Machine tokens made with this token live on, for a day at most. The command lists them, and who made them.",
          command: `${command} list`,
        };
  return { machineTokens };
}

const shellQuoted = (text: string) =>
  /^[\w@.:/-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** The revocation that a body asks for. `now` and `ends` are in seconds. Throws `invalid_request`. */
function complete(body: NewRevocation, now: number, ends: number): Revocation {
  if (!("subject" in body)) return { ...body, ends };
  const { subject, issuedUntil = now } = body;
  if (issuedUntil > now)
    throw new StrongroomError("invalid_request", "issuedUntil may not lie in the future.");
  return { subject, issuedUntil, ends };
}
