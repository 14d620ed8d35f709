import { expect } from "vitest";
import { Secret } from "../../../services/shared/secret.ts";
import { vaultClient } from "../../../services/shared/vault/client.ts";
import { clientsOf, compareClientCounts } from "../../../services/shared/vault/client-counts.ts";
import { loginWithJwt, signPlatformJwt } from "../../../services/shared/vault/platform-jwt.ts";
import { test } from "../../harness/fixtures.ts";
import type { TestIssuer } from "../../harness/tokens.ts";
import type { InternalVault, OrgVault } from "../../harness/vault.ts";

let internal: InternalVault;
let issuer: TestIssuer;
let acme: OrgVault;
test.beforeAll(({ org }) => {
  ({ internal, issuer, acme } = org);
});

async function login(mount: string, role: string, jwt: Secret) {
  const { token } = await loginWithJwt(acme.endpoint, mount, role, jwt);
  return vaultClient(acme.endpoint, () => token);
}

const observe = async () =>
  login(
    "platform-observe",
    "platform-observe",
    await signPlatformJwt(internal.controlPlane, {
      org: acme.org,
      subject: "control-plane",
      now: new Date(),
    }),
  );

test("the platform's own login counts for its mount, a person's for the organization's, each person once", async () => {
  expect(await clientsOf(await observe(), "jwt")).toBe(0);
  for (const sub of ["auth0|ada", "auth0|ada", "auth0|bob"]) {
    const jwt = new Secret(issuer.token({ org_id: "org_acme", sub }));
    await (await login("jwt", "reader", jwt)).list("secret/metadata").catch(() => {});
  }
  await expect.poll(async () => clientsOf(await observe(), "jwt")).toBe(2);
  expect(await clientsOf(await observe(), "platform-observe")).toBe(1);
});

test("counting that was switched off is a difference", async () => {
  expect(await compareClientCounts(await observe())).toEqual([]);
  await acme.root.write("sys/internal/counters/config", { enabled: "disable" });
  expect(await compareClientCounts(await observe())).toEqual([
    "sys/internal/counters/config: enabled differs from the expected value",
  ]);
});
