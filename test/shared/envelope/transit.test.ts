import { afterAll, beforeAll, inject } from "vitest";
import type { CredentialLogin } from "../../../services/cli/platform/credential-keys.ts";
import { transitKeyProvider } from "../../../services/shared/envelope/transit.ts";
import { appRoleLogin } from "../../../services/shared/vault/approle.ts";
import { vaultClient } from "../../../services/shared/vault/client.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";
import { keyProviderContract } from "./contract.ts";

let vault: InternalVault;
beforeAll(async () => {
  vault = await startInternalVault(inject("vaultBinary"));
});
afterAll(() => vault?.stop());

const provider = (login: CredentialLogin, key: string) =>
  transitKeyProvider(
    vaultClient(vault.endpoint, appRoleLogin(vault.endpoint, vault.logins[login]).token),
    key,
  );

keyProviderContract(
  () => ({
    intake: provider("intake", "integration"),
    worker: provider("worker-integration", "integration"),
  }),
  () => ({ intake: provider("intake", "webhook"), worker: provider("worker-webhook", "webhook") }),
);
