import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { GROUPS_CLAIM } from "../../services/shared/local-provider.ts";
import { Secret } from "../../services/shared/secret.ts";
import {
  ifFound,
  type VaultClient,
  type VaultEndpoint,
  vaultClient,
} from "../../services/shared/vault/client.ts";
import { health } from "../../services/shared/vault/health.ts";
import { loginWithJwt } from "../../services/shared/vault/platform-jwt.ts";
import { dynamodbStorage, orgServerConfig } from "../../services/shared/vault/server-config.ts";
import { eventually } from "../control-plane/stage.ts";
import { awsEnvironment, makeTable, REGION } from "../harness/aws/cell.ts";
import { describeOnAws } from "../harness/aws/describe.ts";
import { type MotoServer, startMoto } from "../harness/aws/moto.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import {
  freeListen,
  type InternalVault,
  localPlace,
  type OrgVault,
  startInternalVault,
  startOrgVault,
  startVaultServer,
  type VaultServer,
} from "../harness/vault.ts";

const TABLE = "two-vaults";

/** Without ECS, which would end a Vault that stands still and start another. */
describeOnAws("two Vaults on one table", () => {
  let moto: MotoServer;
  let internal: InternalVault;
  let issuer: TestIssuer;
  let folder: string;
  let leader: OrgVault;
  let standby: { endpoint: VaultEndpoint; server: VaultServer };

  beforeAll(async () => {
    moto = await startMoto(inject("moto"));
    await makeTable(moto.endpoint, TABLE);
    internal = await startInternalVault(inject("vaultBinary"));
    issuer = await startIssuer();
    folder = await mkdtemp(join(tmpdir(), "strongroom-standby-"));
    const storage = dynamodbStorage(TABLE, REGION);
    const environment = { ...awsEnvironment(moto.endpoint), AWS_DYNAMODB_ENDPOINT: moto.endpoint };
    leader = await startOrgVault(internal, { claim: "org_acme", issuer, storage, environment });

    await cp(join(leader.dir, "tls"), join(folder, "tls"), { recursive: true });
    const listen = await freeListen();
    const place = { ...localPlace(leader.org, listen), storage };
    const config = orgServerConfig({ org: leader.org, place, internalVault: internal.endpoint });
    const endpoint = { ...leader.endpoint, address: `https://${listen}` };
    const token = { VAULT_TOKEN: leader.unsealToken.reveal() };
    const server = await startVaultServer(internal.binary, folder, config, endpoint, {
      ...environment,
      ...token,
    });
    standby = { endpoint, server };
  });
  afterAll(async () => {
    await standby?.server.end("SIGKILL");
    await leader?.stop();
    await issuer?.close();
    await internal?.stop();
    await moto?.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  type Server = { endpoint: VaultEndpoint };
  const healthOf = ({ endpoint }: Server) =>
    health(vaultClient(endpoint, undefined, 1_000)).catch(() => undefined);
  async function writer({ endpoint }: Server): Promise<VaultClient> {
    const jwt = issuer.token({ org_id: "org_acme", [GROUPS_CLAIM]: ["writer"] });
    const { token } = await loginWithJwt(endpoint, "jwt", "writer", new Secret(jwt));
    return vaultClient(endpoint, () => token, 2_000);
  }
  const valueAt = async (client: VaultClient, path: string) => {
    const body = await ifFound(client.read(`secret/data/${path}`));
    return (body?.data as { data: { value: string } } | undefined)?.data.value;
  };
  const becomes = (server: Server, state: string) =>
    eventually(`it is ${state}`, async () => ((await healthOf(server)) === state ? true : undefined));

  test("the lock elects one and does not fence the other off: what is lost is what both wrote", async () => {
    await becomes(standby, "standby");
    const old = await writer(leader);
    const acknowledged = new Map<string, string>();
    const write = async (client: VaultClient, path: string, value: string): Promise<void> => {
      await client.write(`secret/data/${path}`, { data: { value } });
      acknowledged.set(path, value);
    };
    for (let n = 0; n < 5; n++) await write(old, `before/${n}`, String(n));

    leader.signal("SIGSTOP");
    const stopped = performance.now();
    const late = Array.from({ length: 5 }, (_, n) => write(old, `during/${n}`, String(n)).catch(() => {}));
    await becomes(standby, "active");
    const young = await writer(standby);
    for (let n = 0; n < 5; n++) await write(young, `after/${n}`, String(n));
    await write(young, "shared", "of the new leader");
    await sleep(Math.max(0, 20_000 - (performance.now() - stopped)));
    await Promise.all(late);

    leader.signal("SIGCONT");
    // Until it has noticed that it leads no longer, it acknowledges.
    const stale: string[] = [];
    for (let n = 0; (await healthOf(leader)) !== "standby"; n++) {
      expect(performance.now() - stopped, "it does not give way").toBeLessThan(60_000);
      const path = n === 0 ? "shared" : `stale/${n}`;
      const written = old.write(`secret/data/${path}`, { data: { value: "of the old leader" } });
      if (await written.then(() => true).catch(() => false)) stale.push(path);
    }
    const shared = stale.includes("shared")
      ? expect.stringMatching(/^of the (old|new) leader$/)
      : "of the new leader";
    acknowledged.delete("shared");
    for (const [path, value] of acknowledged) expect(await valueAt(young, path), path).toBe(value);
    expect(await valueAt(young, "shared")).toEqual(shared);

    // Whoever leads next reads what is on the table.
    await standby.server.end("SIGKILL");
    await becomes(leader, "active");
    const next = await writer(leader);
    for (const path of stale) acknowledged.set(path, "of the old leader");
    acknowledged.delete("shared");
    for (const [path, value] of acknowledged) expect(await valueAt(next, path), path).toBe(value);
    expect(await valueAt(next, "shared")).toEqual(shared);
  });
});
