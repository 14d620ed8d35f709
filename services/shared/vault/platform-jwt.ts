import { randomUUID } from "node:crypto";
import { Secret } from "../secret.ts";
import type { VaultClient, VaultEndpoint } from "./client.ts";
import { type Login, login } from "./login.ts";
import { signCompactJws } from "./transit.ts";

/** The platform's own JWT mounts at every org Vault; each is named like its role, its policy and its transit key. */
export const PLATFORM_MOUNTS = ["platform-observe", "platform-maintain", "platform-backup"] as const;
export type PlatformMount = (typeof PLATFORM_MOUNTS)[number];

/** `iss` of the JWTs that a platform mount accepts. */
export const platformIssuer = (mount: PlatformMount): string =>
  `https://platform.strongroom.internal/${mount}`;

/** How long a platform JWT, and the token it is changed for, is good. */
export const PLATFORM_JWT_SECONDS = 60;

/**
 * A JWT that opens one mount of one organization's Vault for a minute, signed by the internal Vault's
 * transit key of the mount's name. `subject` is who acts, for the audit log: `control-plane`, or an operator.
 */
export async function signPlatformJwt(
  client: VaultClient,
  mount: PlatformMount,
  { org, subject, now }: { org: string; subject: string; now: Date },
): Promise<Secret> {
  const iat = Math.floor(now.getTime() / 1000);
  const claims = {
    iss: platformIssuer(mount),
    sub: subject,
    aud: org,
    iat,
    exp: iat + PLATFORM_JWT_SECONDS,
    jti: randomUUID(),
  };
  return new Secret(await signCompactJws(client, mount, { typ: "JWT" }, claims));
}

/** Changes a JWT for a token at a JWT mount's role. Throws `VaultError` 400 or 403 where Vault refuses it. */
export const loginWithJwt = (
  endpoint: VaultEndpoint,
  mount: string,
  role: string,
  jwt: Secret,
): Promise<Login> => login(endpoint, `auth/${mount}/login`, { role, jwt: jwt.reveal() });
