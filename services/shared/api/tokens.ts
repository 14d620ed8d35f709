import { type Static, Type } from "typebox";
import { AskedToken } from "../broker/narrow.ts";
import { AboutToken, SealedToken, SealTo } from "../broker/tokens.ts";
import { OrgId } from "../org.ts";

const closed = { additionalProperties: false };

/** Body of `POST /v1/credentials/:name/token`. */
export const CreateToken = Type.Object(
  {
    ...AskedToken.properties,
    sealTo: Type.Optional(
      Type.String({
        ...SealTo,
        description: "Seal the token to this key (HPKE, an uncompressed P-256 point, base64url)",
      }),
    ),
  },
  closed,
);
export type CreateToken = Static<typeof CreateToken>;

const about = {
  ...AboutToken,
  /** The receipt's id. */
  receipt: Type.String(),
};

/** A short-lived token; sealed if the request has `sealTo`. */
export const IssuedToken = Type.Union([
  Type.Object({ token: Type.String(), ...about }, closed),
  Type.Object(
    {
      sealed: Type.Object(
        {
          ...SealedToken.properties,
          /** HPKE's context, as of a job's sealed result: the organization, and the receipt's id as the job. */
          org: OrgId,
          job: Type.String(),
        },
        closed,
      ),
      ...about,
    },
    closed,
  ),
]);
export type IssuedToken = Static<typeof IssuedToken>;
