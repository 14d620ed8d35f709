import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import { StrongroomError } from "../../shared/errors.ts";
import {
  MadeRevocation,
  NewRevocation,
  Revocation,
  TokenDigest,
} from "../../shared/front/published/revocations.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { OrgId } from "../../shared/org.ts";
import { orgRecord, type Platform } from "../dependencies.ts";
import type { OrgRecord } from "../registry/records.ts";
import { sendSigned, signedDocument } from "./signed-document.ts";

const Params = Type.Object({ id: OrgId }, { additionalProperties: false });

/** The revocation that a gateway requests for its caller's own token. */
const OwnToken = Type.Object(
  {
    org: OrgId,
    token: Type.String({ ...TokenDigest, description: "SHA-256 of the token's signing input (base64url)" }),
    expiresAt: Type.Integer({
      minimum: 0,
      maximum: 2 ** 40,
      description: "The token's `exp`, in seconds since 1970",
    }),
  },
  { additionalProperties: false },
);

/** Revocations: add one, list an organization's, and the signed list that gateways poll. */
export function revocationRoutes(app: Server, platform: Platform): void {
  const { revocations, now } = platform;

  app.get(
    "/v1/revocations",
    {
      config: { access: { open: "it is signed and contains no token, and gateways have no credentials" } },
      schema: signedDocument("Get all revocations, a compact JWS"),
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
          open: "gateways have no credentials; only a token's holder can name it, and naming it can only revoke it",
        },
      },
      schema: {
        summary: "Revoke a token on behalf of a gateway's caller, who asked to revoke its own",
        body: OwnToken,
        response: {
          204: Type.Null({ description: "The revocation is in force" }),
          ...problems(400, 404, 413, 415, 429, 503),
        },
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
        summary: "Revoke tokens of an organization before they expire",
        description:
          "It is in force here when the request returns; gateways receive it within a second or two",
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
        summary: "List the current revocations of an organization",
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
 * The tokens that a revocation leaves valid: Vault tokens that the holder created for machines. Revoking them needs
 * a login at the organization's Vault that the control plane does not have.
 */
function livesOn(org: string, revocation: Revocation): Pick<MadeRevocation, "machineTokens"> {
  const command = `strongroom org machine-tokens ${org}`;
  const machineTokens =
    "subject" in revocation
      ? {
          detail:
            "Machine tokens that this subject created stay valid, for at most a day, until the command is run.",
          command: `${command} revoke --made-by ${shellQuoted(revocation.subject)}`,
        }
      : {
          detail:
            "Machine tokens created with this token stay valid for at most a day. The command lists them and their creators.",
          command: `${command} list`,
        };
  return { machineTokens };
}

const shellQuoted = (text: string) =>
  /^[\w@.:/-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** The revocation that a body requests. `now` and `ends` are in seconds. Throws `invalid_request`. */
function complete(body: NewRevocation, now: number, ends: number): Revocation {
  if (!("subject" in body)) return { ...body, ends };
  const { subject, issuedUntil = now } = body;
  if (issuedUntil > now)
    throw new StrongroomError("invalid_request", "issuedUntil must not be in the future.");
  return { subject, issuedUntil, ends };
}
