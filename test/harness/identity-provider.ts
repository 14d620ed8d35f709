import { generateKeyPairSync } from "node:crypto";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { buildIdentityProvider } from "../../services/identity-provider/app.ts";
import type { SigningKey } from "../../services/identity-provider/signing-key.ts";
import { GROUPS_CLAIM, LOCAL_ISSUER, ORG_CLAIM } from "../../services/shared/local-provider.ts";

/** The local identity provider, in this process, with a key of its own. */
export interface LocalIdentityProvider {
  /** Without a path. */
  address: string;
  jwksUri: string;
  /** The answer to `POST /token` with these fields. */
  post(form: Record<string, string> | string, headers?: Record<string, string>): Promise<Response>;
  /** A token for these fields; grant type and audience of tenants unless given. */
  token(form: Record<string, string>): Promise<string>;
  /** What it has logged. */
  log(): string;
  close(): Promise<void>;
}

export async function startIdentityProvider(): Promise<LocalIdentityProvider> {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: "jwk" }), kid: "local-test", alg: "RS256" } as SigningKey;
  let log = "";
  const destination = {
    write(line: string) {
      log += line;
    },
  };
  const app = await buildIdentityProvider({
    logger: pino({}, destination),
    key,
    issuer: LOCAL_ISSUER,
    orgClaim: ORG_CLAIM,
    groupsClaim: GROUPS_CLAIM,
    keysHost: "agent",
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const address = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  const post = (form: Record<string, string> | string, headers: Record<string, string> = {}) =>
    fetch(`${address}/token`, { method: "POST", body: new URLSearchParams(form), headers });
  return {
    address,
    jwksUri: `${address}/jwks`,
    post,
    async token(form) {
      const all = { grant_type: "client_credentials", audience: "https://strongroom.test/api", ...form };
      const response = await post(all);
      const body = (await response.json()) as { access_token: string };
      if (response.status !== 200) throw new Error(`the token was refused: ${JSON.stringify(body)}`);
      return body.access_token;
    },
    log: () => log,
    close: () => app.close(),
  };
}
