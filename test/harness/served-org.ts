import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import { startGateway, type TestGateway } from "./gateway.ts";
import { startIssuer, type TestIssuer } from "./tokens.ts";
import { type OrgVault, startInternalVault, startOrgVault } from "./vault.ts";

/** One organization with a real Vault behind the real gateway, and a folder for what its clients write. */
export interface ServedOrg {
  gateway: TestGateway;
  issuer: TestIssuer;
  acme: OrgVault;
  /** Empty at first; removed by `stop`. */
  home: string;
  /** A new JWT of a new person each time, a reader's unless given; it lives five minutes unless given. */
  token(level?: "writer" | "admin", seconds?: number): string;
  stop(): Promise<void>;
}

export async function startServedOrg(): Promise<ServedOrg> {
  const home = await mkdtemp(join(tmpdir(), "strongroom-clients-"));
  const [internal, issuer] = await Promise.all([startInternalVault(inject("vaultBinary")), startIssuer()]);
  const acme = await startOrgVault(internal, { claim: "org_acme", issuer });
  const orgs = [{ id: acme.org, claim: "org_acme", address: acme.endpoint.address }];
  const gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs });
  let people = 0;
  return {
    ...{ gateway, issuer, acme, home },
    token: (level, seconds) =>
      issuer.token({
        sub: `person-${++people}`,
        ...(level && { [issuer.issuer.groupsClaim]: [level] }),
        ...(seconds && { exp: Math.floor(Date.now() / 1000) + seconds }),
      }),
    async stop() {
      await gateway.close();
      await acme.stop();
      await issuer.close();
      await internal.stop();
      await rm(home, { recursive: true });
    },
  };
}
