import { type Static, Type } from "typebox";
import { ForCaller, SealedCredential } from "./calls.ts";
import { BrokerPolicy } from "./policy.ts";

const closed = { additionalProperties: false };

/** The operation `change-policy`: seals a credential's value for its next version, under another policy. */
export const ChangePolicy = Type.Object(
  {
    ...ForCaller,
    credential: SealedCredential,
    /** The policy of the next version. */
    policy: BrokerPolicy,
  },
  closed,
);
export type ChangePolicy = Static<typeof ChangePolicy>;

export const ChangedPolicy = Type.Object(
  {
    version: Type.Integer({ minimum: 2 }),
    envelope: Type.String({ pattern: "^[A-Za-z0-9+/]*={0,2}$", description: "base64" }),
  },
  closed,
);
export type ChangedPolicy = Static<typeof ChangedPolicy>;
