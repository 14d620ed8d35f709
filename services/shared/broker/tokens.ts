import { type Static, Type } from "typebox";
import { Time } from "../api/time.ts";
import { Receipt } from "../receipts/receipt.ts";
import { CallFailed, ForCaller, SealedCredential } from "./calls.ts";
import { AskedToken } from "./narrow.ts";

const closed = { additionalProperties: false };

/** An uncompressed P-256 point to which a token is sealed. */
export const SealTo = Type.String({ pattern: "^[A-Za-z0-9_-]{87}$", description: "P-256 point, base64url" });

/**
 * `bearer`: RFC 6750. `aws`: the token is the JSON of an access key with its session token (`AwsKey`).
 */
export const TokenType = Type.Enum(["bearer", "aws"]);
export type TokenType = Static<typeof TokenType>;

/** A token sealed by HPKE to the caller's key: the JSON of its answer in clear. */
export const SealedToken = Type.Object(
  { enc: Type.String({ maxLength: 200 }), ciphertext: Type.String({ maxLength: 120_000 }) },
  closed,
);

/** What an answer says of a token beside the token itself. */
export const AboutToken = {
  type: TokenType,
  expiresAt: Time,
  /** What it may be used for; never more than was asked. */
  scopes: Type.Array(Type.String({ maxLength: 200 }), { maxItems: 64 }),
};

/** Body of the operation `token`. */
export const TokenCall = Type.Object(
  {
    ...ForCaller,
    credential: SealedCredential,
    asked: AskedToken,
    /** `caller`: the token is handed out. `use`: it stays in the broker, for requests with `inject: {token}`. */
    for: Type.Enum(["caller", "use"]),
    /** Whether the provider may be asked; if not, only a token that the broker has in memory is returned. */
    mayExchange: Type.Boolean(),
    sealTo: Type.Optional(SealTo),
    receipt: Receipt,
  },
  closed,
);
export type TokenCall = Static<typeof TokenCall>;

/** What the operation `token` answers. */
export const TokenAnswer = Type.Union([
  Type.Object(
    { state: Type.Literal("issued"), token: Type.String({ maxLength: 65_536 }), ...AboutToken },
    closed,
  ),
  Type.Object({ state: Type.Literal("sealed"), sealed: SealedToken, ...AboutToken }, closed),
  /** The broker has it in memory. */
  Type.Object({ state: Type.Literal("held"), ...AboutToken }, closed),
  /**
   * The provider has replaced the refresh token, and this is the new value of the credential, sealed for this version. The
   * broker has a token only for this version: store it, then ask again.
   */
  Type.Object(
    {
      state: Type.Literal("replaced"),
      version: Type.Integer({ minimum: 2 }),
      envelope: Type.String({ maxLength: 120_000 }),
      /** The token that came with it cannot be used, for this reason. */
      refused: Type.Optional(CallFailed),
    },
    closed,
  ),
]);
export type TokenAnswer = Static<typeof TokenAnswer>;
