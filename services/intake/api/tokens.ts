import { Type } from "typebox";
import { CreateToken, IssuedToken } from "../../shared/api/tokens.ts";
import { isPublicKey } from "../../shared/envelope/sealing.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { Name } from "../../shared/work/messages.ts";
import { useMemberOf } from "../http/caller.ts";
import { issueToken, type TokenParts } from "../tokens/obtain.ts";

const Params = Type.Object({ name: Name }, { additionalProperties: false });

/** Short-lived tokens in exchange for credentials that nobody reads. */
export function tokenRoutes(app: Server, parts: TokenParts): void {
  app.post(
    "/v1/credentials/:name/token",
    {
      config: { access: { level: "reader" } },
      schema: {
        summary: "Exchange a credential for a short-lived token",
        description:
          "By the `grant` of the credential's policy, which says who may, for what, and for how long at most. The " +
          "body asks for less; more is refused with the part that is too much. With `sealTo` the token is sealed in " +
          "the broker, and nothing between it and the caller can read it",
        params: Params,
        body: CreateToken,
        response: {
          200: IssuedToken,
          ...problems(400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504),
        },
      },
    },
    async (request) => {
      const { sealTo, ...asked } = request.body;
      await checkPoint(sealTo);
      const member = useMemberOf(request);
      const wish = { credential: request.params.name, asked, ...(sealTo !== undefined && { sealTo }) };
      const token = await issueToken(parts, member, wish);
      const { type, expiresAt, scopes, receipt } = token;
      const about = { type, expiresAt, scopes, receipt };
      if (token.state === "issued") return { token: token.token, ...about };
      if (token.state === "sealed") {
        return { sealed: { ...token.sealed, org: member.org, job: receipt }, ...about };
      }
      throw new Error("the broker keeps a token that was asked for");
    },
  );
}

async function checkPoint(sealTo: string | undefined): Promise<void> {
  if (sealTo === undefined) return;
  const bytes = new Uint8Array(Buffer.from(sealTo, "base64url"));
  if (Buffer.from(bytes).toString("base64url") === sealTo && (await isPublicKey(bytes))) return;
  const message = "is not an uncompressed P-256 point in base64url";
  throw new StrongroomError("invalid_value", `The key that the token is to be sealed to ${message}.`, {
    errors: [{ pointer: "/body/sealTo", message }],
  });
}
