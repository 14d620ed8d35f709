import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { vaultClient } from "../../services/shared/vault/client.ts";
import { health } from "../../services/shared/vault/health.ts";
import { eventually } from "../control-plane/stage.ts";
import { describeOnAws } from "../harness/aws/describe.ts";
import { type InternalCluster, type Node, startInternalCluster } from "../harness/aws/internal-cluster.ts";
import { type MotoServer, startMoto } from "../harness/aws/moto.ts";
import { startIssuer, type TestIssuer } from "../harness/tokens.ts";
import { type OrgVault, startOrgVault } from "../harness/vault.ts";

describeOnAws("the internal Vault as three nodes", () => {
  let moto: MotoServer;
  let cluster: InternalCluster;
  let issuer: TestIssuer;
  let orgs: OrgVault[] = [];

  beforeAll(async () => {
    moto = await startMoto(inject("moto"));
    cluster = await startInternalCluster(inject("vaultBinary"), moto.endpoint);
    issuer = await startIssuer();
    const begin = (claim: string) => startOrgVault(cluster, { claim, issuer, configure: false });
    orgs = await Promise.all(["org_acme", "org_globex", "org_initech"].map(begin));
  });
  afterAll(async () => {
    await Promise.all(orgs.map((org) => org.stop()));
    await issuer?.close();
    await cluster?.stop();
    await moto?.stop();
  });

  const states = () => Promise.all(cluster.nodes.map((node) => node.state()));
  const leader = async () => {
    for (const node of cluster.nodes) if ((await node.state()) === "active") return node;
    return undefined;
  };

  test("one leads, the others stand by, each unsealed by KMS alone", async () => {
    const isSettled = async () => {
      const [first, ...others] = (await states()).sort();
      return first === "active" && others.every((state) => state === "standby") ? true : undefined;
    };
    await eventually("one leads", isSettled);
  });

  test("its leader is killed while organizations' Vaults unseal: all of them do, within the lock's time", async () => {
    const before = (await leader()) as Node;
    const begun = performance.now();
    await before.server.end("SIGKILL");
    // What starts a Vault starts it again where it ends because nobody unseals it yet.
    const unsealed = orgs.map(async (org) => {
      for (let signal: NodeJS.Signals = "SIGKILL"; ; await sleep(500)) {
        const restarted = await org.restart({ signal }).then(
          () => true,
          () => false,
        );
        if (restarted) break;
        expect(performance.now() - begun, "it does not unseal").toBeLessThan(60_000);
      }
      return health(vaultClient(org.endpoint));
    });
    expect(await Promise.all(unsealed)).toEqual(["active", "active", "active"]);
    const after = (await leader()) as Node;
    expect(cluster.nodes.indexOf(after)).not.toBe(cluster.nodes.indexOf(before));
  });
});
