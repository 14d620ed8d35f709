import { randomUUID } from "node:crypto";
import { Secret } from "../secret.ts";
import type { VaultClient, VaultEndpoint } from "./client.ts";
import { type Login, login } from "./login.ts";
import { signCompactJws } from "./transit.ts";
/** The control plane's JWT mount at every org Vault, with the name of its role, its policy and its transit key. */
export const OBSERVE = "platform-observe";

/** `iss` of the JWTs that the mount accepts. */
export const OBSERVE_ISSUER = `https://platform.strongroom.internal/${OBSERVE}`;

/** Lifetime of such a JWT, and of the token that it is exchanged for. */
export const PLATFORM_JWT_SECONDS = 60;

/**
 * A JWT that opens `platform-observe` of one organization's Vault for a minute, signed by the internal Vault's transit
 * key of that name. It is sent to the address in the registry, so it must open nothing but configuration. `subject`
 * names the actor for the audit log.
 */
export async function signPlatformJwt(
  client: VaultClient,
  { org, subject, now }: { org: string; subject: string; now: Date },
): Promise<Secret> {
  const iat = Math.floor(now.getTime() / 1000);
  const claims = {
    iss: OBSERVE_ISSUER,
    sub: subject,
    aud: org,
    iat,
    exp: iat + PLATFORM_JWT_SECONDS,
    jti: randomUUID(),
  };
  return new Secret(await signCompactJws(client, OBSERVE, { typ: "JWT" }, claims));
}

/** Exchanges a JWT for a token of a JWT mount's role. Throws `VaultError` 400 or 403 if Vault refuses it. */
export const loginWithJwt = (
  endpoint: VaultEndpoint,
  mount: string,
  role: string,
  jwt: Secret,
): Promise<Login> => login(endpoint, `auth/${mount}/login`, { role, jwt: jwt.reveal() });
