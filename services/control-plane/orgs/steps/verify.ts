import { type CryptoKey, generateKeyPair, SignJWT } from "jose";
import { StrongroomError } from "../../../shared/errors.ts";
import { newOrgId } from "../../../shared/org.ts";
import { Secret } from "../../../shared/secret.ts";
import { VaultError } from "../../../shared/vault/client.ts";
import { compareOrgVault } from "../../../shared/vault/org-vault.ts";
import { loginWithJwt, OBSERVE, signPlatformJwt } from "../../../shared/vault/platform-jwt.ts";
import { orgEndpoint, orgRecord, orgVaultSettings, type Platform } from "../../dependencies.ts";
import type { Step } from "../../jobs/workflow.ts";
import type { OrgRecord } from "../../registry/records.ts";
import { loginToObserve } from "../observe.ts";
import { rootClient } from "../root-token.ts";

/**
 * Reads back the Vault's configuration and compares it while root can still read everything; then tries what must
 * be refused: a token signed by an untrusted key, a platform login for another organization, and a secret read by
 * the read-only login.
 */
export const verify = (platform: Platform): Step => ({
  name: "verify",
  async do({ org }) {
    const record = await orgRecord(platform, org);
    const settings = await orgVaultSettings(platform, record);
    const differences = await compareOrgVault(await rootClient(platform, record), settings, { sudo: true });
    if (differences.length > 0) throw failed(`its configuration differs: ${differences.join("; ")}`);

    const endpoint = orgEndpoint(platform, record);
    const forged = await forgedToken(record, platform.now());
    await refused("a token signed by an unknown key", () => loginWithJwt(endpoint, "jwt", "reader", forged));

    const stranger = { org: newOrgId(), subject: "control-plane", now: platform.now() };
    const foreign = await signPlatformJwt(platform.vault, stranger);
    await refused("a platform login for another organization", () =>
      loginWithJwt(endpoint, OBSERVE, OBSERVE, foreign),
    );

    const observe = await loginToObserve(platform, record);
    const seen = await compareOrgVault(observe, settings, { sudo: false });
    if (seen.length > 0) throw failed(`platform-observe sees differences: ${seen.join("; ")}`);
    await refused("a secret read by platform-observe", () => observe.read("secret/data/verify"));
  },
});

/** Untrusted keys, cached because generating an RSA key is slow. */
const strangerKeys = new Map<string, Promise<CryptoKey>>();

function strangerKey(alg: string): Promise<CryptoKey> {
  const key = strangerKeys.get(alg) ?? generateKeyPair(alg).then(({ privateKey }) => privateKey);
  strangerKeys.set(alg, key);
  return key;
}

/** A member's token, signed by a key that is not the issuer's. */
async function forgedToken({ issuer, claim }: OrgRecord, now: Date): Promise<Secret> {
  const [alg = "RS256"] = issuer.algorithms;
  const iat = Math.floor(now.getTime() / 1000);
  return new Secret(
    await new SignJWT({ [issuer.orgClaim]: claim, [issuer.groupsClaim]: [], sub: "verify" })
      .setProtectedHeader({ alg, kid: "verify" })
      .setIssuer(issuer.issuer)
      .setAudience(issuer.audience)
      .setIssuedAt(iat)
      .setExpirationTime(iat + 60)
      .sign(await strangerKey(alg)),
  );
}

async function refused(what: string, attempt: () => Promise<unknown>): Promise<void> {
  try {
    await attempt();
  } catch (error) {
    if (error instanceof VaultError && (error.status === 400 || error.status === 403)) return;
    throw error;
  }
  throw failed(`it accepts ${what}`);
}

const failed = (why: string) =>
  new StrongroomError("step_failed", `The organization's Vault failed verification: ${why}.`);
