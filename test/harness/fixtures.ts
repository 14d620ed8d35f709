import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import { test as withFolder } from "./folder.ts";
import { startGateway, type TestGateway } from "./gateway.ts";
import { type Recorder, startRecorder } from "./recorder.ts";
import { newPair, startIssuer, type TestIssuer } from "./tokens.ts";
import {
  type InternalVault,
  type InternalVaultSettings,
  type OrgVault,
  type OrgVaultChanges,
  startInternalVault,
  startOrgVault,
} from "./vault.ts";

/** An internal Vault, and an issuer whose tokens name `org_acme` unless told otherwise. */
interface Common {
  internal: InternalVault;
  issuer: TestIssuer;
}

/** An organization whose Vault is a recorder. */
export interface RecordedOrg extends Common {
  recorder: Recorder;
}

/** Two of them. */
export interface RecordedOrgs extends Common {
  acme: Recorder;
  globex: Recorder;
}

/** A gateway in front of a recorder, which stands for the Vault of `org_acme`. */
export interface RecordedGateway extends RecordedOrg {
  gateway: TestGateway;
}

/** A real Vault of `org_acme`, without a gateway. */
export interface Org extends Common {
  acme: OrgVault;
}

/** A gateway in front of the real Vault of `org_acme`, and a folder for what its clients write. */
export interface ServedOrg extends Org {
  gateway: TestGateway;
  /** Empty at first. */
  home: string;
  /** A new JWT of a new person each time, a reader's unless given; it lives five minutes unless given. */
  token(level?: "writer" | "admin", seconds?: number): string;
}

/** A gateway in front of two real Vaults: of `org_acme` and of `org_globex`, in this order. */
export interface ServedOrgs extends Common {
  orgs: [OrgVault, OrgVault];
  gateway: TestGateway;
}

/** Started for the first test or hook of a file that names it, and stopped after the file's last test. */
export const PER_FILE = { scope: "file" } as const;

/**
 * Vitest's test, with the parts of a platform, and an empty folder for each test. All tests of a file share a part:
 * a test that changes one puts it back, or starts a part of its own. A file that needs a setting other than these
 * extends this test by the setting's name, and uses only the test that it gets: each test so made starts its own parts.
 */
export const test = withFolder
  .extend("internalVaultSettings", PER_FILE, (): InternalVaultSettings => ({}))
  .extend("issuerPair", PER_FILE, () => newPair("RS256"))
  .extend("orgVaultChanges", PER_FILE, (): OrgVaultChanges => ({}))

  .extend("internal", PER_FILE, async ({ internalVaultSettings }, { onCleanup }) => {
    const internal = await startInternalVault(inject("vaultBinary"), internalVaultSettings);
    onCleanup(internal.stop);
    return internal;
  })
  .extend("issuer", PER_FILE, async ({ issuerPair }, { onCleanup }) => {
    const issuer = await startIssuer({}, issuerPair);
    onCleanup(issuer.close);
    return issuer;
  })
  .extend("recordedOrg", PER_FILE, async ({ internal, issuer }, { onCleanup }): Promise<RecordedOrg> => {
    const recorder = await startRecorder(internal);
    onCleanup(recorder.close);
    return { internal, issuer, recorder };
  })
  .extend("recordedOrgs", PER_FILE, async ({ recordedOrg }, { onCleanup }): Promise<RecordedOrgs> => {
    const { internal, issuer, recorder } = recordedOrg;
    const globex = await startRecorder(internal);
    onCleanup(globex.close);
    return { internal, issuer, acme: recorder, globex };
  })
  .extend("recordedGateway", PER_FILE, async ({ recordedOrg }, { onCleanup }): Promise<RecordedGateway> => {
    const { internal, issuer, recorder } = recordedOrg;
    const orgs = [{ id: recorder.org, claim: "org_acme", address: recorder.address }];
    const gateway = await startGateway({ issuers: [issuer], ca: internal.ca, orgs });
    onCleanup(gateway.close);
    return { ...recordedOrg, gateway };
  })
  .extend("org", PER_FILE, async ({ internal, issuer, orgVaultChanges }, { onCleanup }): Promise<Org> => {
    const acme = await startOrgVault(internal, { claim: "org_acme", issuer, ...orgVaultChanges });
    onCleanup(acme.stop);
    return { internal, issuer, acme };
  })
  .extend("home", PER_FILE, async ({ org }, { onCleanup }) => {
    const home = await mkdtemp(join(tmpdir(), `strongroom-clients-${org.acme.org}-`));
    onCleanup(() => rm(home, { recursive: true }));
    return home;
  })
  .extend("servedOrg", PER_FILE, async ({ org, home }, { onCleanup }): Promise<ServedOrg> => {
    const gateway = await startGatewayOf(org, [org.acme]);
    onCleanup(gateway.close);
    let people = 0;
    return {
      ...{ ...org, gateway, home },
      token: (level, seconds) =>
        org.issuer.token({
          sub: `person-${++people}`,
          ...(level && { [org.issuer.issuer.groupsClaim]: [level] }),
          ...(seconds && { exp: Math.floor(Date.now() / 1000) + seconds }),
        }),
    };
  })
  .extend("otherOrg", PER_FILE, async ({ internal, issuer }, { onCleanup }) => {
    const globex = await startOrgVault(internal, { claim: "org_globex", issuer });
    onCleanup(globex.stop);
    return globex;
  })
  .extend("servedOrgs", PER_FILE, async ({ org, otherOrg }, { onCleanup }): Promise<ServedOrgs> => {
    const { internal, issuer, acme } = org;
    const gateway = await startGatewayOf(org, [acme, otherOrg]);
    onCleanup(gateway.close);
    return { internal, issuer, orgs: [acme, otherOrg], gateway };
  });

/** A gateway in front of real Vaults. */
function startGatewayOf({ internal, issuer }: Common, vaults: OrgVault[]): Promise<TestGateway> {
  const orgs = vaults.map(({ org, settings, endpoint }) => ({
    ...{ id: org, claim: settings.claim, address: endpoint.address },
    ...(settings.machineTokens && { machineTokens: true as const }),
  }));
  return startGateway({ issuers: [issuer], ca: internal.ca, orgs });
}
