import type { KeyObject } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { REVOCATIONS_TYP, RevocationList } from "./revocations.ts";
import { readSigned } from "./signed-document.ts";

/** Why a revocation list was not taken. */
export type RevocationRefusal = "signature" | "form" | "older" | "same_version_differs" | "lifetime";

/** A revocation list that is not to be used; the message names what was wrong with it. */
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
 * Verifies a published list with the one public key configured, and holds it against the one in use: an older
 * one, another one of the same version, and one that forgets entries before tokens of `maxTokenLifetimeSeconds`
 * end are refused. Throws {@link RevocationsRefused}.
 */
export async function verifyRevocations(
  jws: string,
  key: KeyObject,
  maxTokenLifetimeSeconds: number,
  held?: RevocationList,
): Promise<RevocationList> {
  const list = await readSigned(jws, key, KIND);
  if (list.maxTokenLifetimeSeconds < maxTokenLifetimeSeconds) {
    const lives = `${list.maxTokenLifetimeSeconds} s; tokens may live ${maxTokenLifetimeSeconds} s here`;
    throw new RevocationsRefused(
      "lifetime",
      `it keeps entries for ${lives}. Set STRONGROOM_MAX_TOKEN_LIFETIME_SECONDS alike at both`,
    );
  }
  if (held && list.version < held.version) {
    throw new RevocationsRefused("older", `version ${list.version}, in use is ${held.version}`);
  }
  if (held && list.version === held.version && !isDeepStrictEqual(list, held)) {
    throw new RevocationsRefused("same_version_differs", `version ${list.version}`);
  }
  return list;
}
