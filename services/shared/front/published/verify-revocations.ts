import type { KeyObject } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { REVOCATIONS_TYP, RevocationList } from "./revocations.ts";
import { readSigned } from "./signed-document.ts";

/** Why a revocation list was refused. */
export type RevocationRefusal = "signature" | "form" | "older" | "same_version_differs" | "lifetime";

/** A revocation list that must not be used; the message says why. */
export class RevocationsRefused extends Error {
  override name = "RevocationsRefused";
  readonly reason: RevocationRefusal;

  constructor(reason: RevocationRefusal, detail: string) {
    super(`the revocation list is refused (${reason}): ${detail}`);
    this.reason = reason;
  }
}

const KIND = {
  typ: REVOCATIONS_TYP,
  schema: RevocationList,
  refuse: (reason: "signature" | "form", detail: string) => new RevocationsRefused(reason, detail),
};

/**
 * Verifies a published list with the configured public key, and compares it with the one in use. Refused are: an older
 * version, a different list of the same version, and one that drops entries before tokens with a lifetime of
 * `maxTokenLifetimeSeconds` expire. Throws {@link RevocationsRefused}.
 */
export async function verifyRevocations(
  jws: string,
  key: KeyObject,
  maxTokenLifetimeSeconds: number,
  held?: RevocationList,
): Promise<RevocationList> {
  const list = await readSigned(jws, key, KIND);
  if (list.maxTokenLifetimeSeconds < maxTokenLifetimeSeconds) {
    const lives = `${list.maxTokenLifetimeSeconds} s, but tokens may live ${maxTokenLifetimeSeconds} s here`;
    throw new RevocationsRefused(
      "lifetime",
      `it keeps entries for ${lives}. Set STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS to the same value for both services`,
    );
  }
  if (held && list.version < held.version) {
    throw new RevocationsRefused(
      "older",
      `version ${list.version} is older than the one in use, ${held.version}`,
    );
  }
  if (held && list.version === held.version && !isDeepStrictEqual(list, held)) {
    throw new RevocationsRefused(
      "same_version_differs",
      `its content differs from the one in use, also version ${list.version}`,
    );
  }
  return list;
}
