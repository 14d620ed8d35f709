import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Type } from "typebox";
import { expect } from "vitest";
import { ConfigError, readConfig } from "../../../services/shared/config.ts";
import {
  KeySetting,
  keyProviderSettings,
  keyProviders,
} from "../../../services/shared/envelope/key-settings.ts";
import { test } from "../../harness/folder.ts";
import { CONTEXT } from "./contract.ts";

const Config = Type.Object({ STRONGROOM_KEY: KeySetting("The key"), ...keyProviderSettings });
const ARN = "arn:aws:kms:eu-central-1:123456789012:key/mrk-1b5c";

test.each(["transit:integration", `kms:${ARN}`])("%s is a key", (key) => {
  expect(readConfig({ STRONGROOM_KEY: key }, Config).STRONGROOM_KEY).toBe(key);
});

test.each([
  "integration",
  "transit:",
  "transit:../keys/x",
  "transit:a/b",
  "transit:a%2Fb",
  "kms:alias/x",
  `kms:${ARN.replace(":key/", ":alias/")}`,
  "vault:x",
])("%s is none", (key) => {
  expect(() => readConfig({ STRONGROOM_KEY: key }, Config)).toThrow(ConfigError);
});

test("a key in the internal Vault requires its address and a login, and one in KMS neither", async ({
  folder,
}) => {
  const [roleId, secretId] = [join(folder, "role-id"), join(folder, "secret-id")];
  await writeFile(roleId, "role\n");
  await writeFile(secretId, "secret\n");
  const whole = {
    STRONGROOM_INTERNAL_VAULT_ADDR: "http://127.0.0.1:8210",
    STRONGROOM_ROLE_ID_FILE: roleId,
    STRONGROOM_SECRET_ID_FILE: secretId,
  };
  const provider = await keyProviders(whole)("transit:integration");
  expect(provider.name).toBe("transit:integration");
  for (const missing of Object.keys(whole)) {
    await expect(keyProviders({ ...whole, [missing]: undefined })("transit:integration")).rejects.toThrow(
      new RegExp(`^${missing}: missing`),
    );
  }
  await expect(
    keyProviders({ ...whole, STRONGROOM_SECRET_ID_FILE: join(folder, "none") })("transit:integration"),
  ).rejects.toThrow(/^STRONGROOM_SECRET_ID_FILE: cannot read/);
  await expect(
    keyProviders({ ...whole, STRONGROOM_INTERNAL_VAULT_ADDR: "https://vault:8200" })("transit:integration"),
  ).rejects.toThrow(/^STRONGROOM_INTERNAL_VAULT_CA_FILE: required/);
  expect((await keyProviders({ STRONGROOM_AWS_REGION: "eu-central-1" })(`kms:${ARN}`)).name).toBe(
    `kms:${ARN}`,
  );
  await expect(keyProviders({})("other:x")).rejects.toThrow(ConfigError);
});

test("all keys of a service share one login", async ({ folder }) => {
  await writeFile(join(folder, "id"), "id");
  const paths: string[] = [];
  const server = createServer((request, response) => {
    paths.push(String(request.url));
    const auth = { client_token: "t", lease_duration: 3600 };
    response.setHeader("content-type", "application/json").end(JSON.stringify({ auth }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const providerOf = keyProviders({
      STRONGROOM_INTERNAL_VAULT_ADDR: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      STRONGROOM_ROLE_ID_FILE: join(folder, "id"),
      STRONGROOM_SECRET_ID_FILE: join(folder, "id"),
    });
    for (const key of ["transit:integration", "transit:webhook"]) {
      await (await providerOf(key)).makeDataKey(CONTEXT).catch(() => {});
    }
    expect(paths).toEqual([
      "/v1/auth/approle/login",
      "/v1/credential-keys/datakey/plaintext/integration",
      "/v1/credential-keys/datakey/plaintext/webhook",
    ]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
