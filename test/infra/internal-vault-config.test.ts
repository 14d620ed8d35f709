import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { Secret } from "../../services/shared/secret.ts";
import { type VaultClient, vaultClient } from "../../services/shared/vault/client.ts";
import { health } from "../../services/shared/vault/health.ts";
import { type MotoServer, motoMissing, startMoto } from "../harness/aws/moto.ts";
import { freeListen, startVaultServer, type VaultServer } from "../harness/vault.ts";
import type {} from "../harness/vault-binary.ts";
import { REGION } from "./deployment.ts";
import { synthesize } from "./synthesized.ts";

const missing = motoMissing();
const RECOVERY = fileURLToPath(new URL("../../infra/recovery/main.ts", import.meta.url));
const credentials = {
  AWS_ACCESS_KEY_ID: "AKIDEXAMPLE",
  AWS_SECRET_ACCESS_KEY: "example",
  AWS_REGION: REGION,
};
const NODES = 3;
/** The lock's own time, twelve seconds of which a killed leader may still have, and a loaded machine's. */
const TAKEN_OVER_WITHIN_MS = 60_000;

interface Node {
  address: string;
  server: VaultServer;
  client: VaultClient;
}

/** A KMS key of the emulator's own; gives its id. */
async function createKey(endpoint: string): Promise<string> {
  const scope = `AKIDEXAMPLE/20260101/${REGION}/kms/aws4_request`;
  const response = await fetch(endpoint, {
    method: "POST",
    headers: {
      "content-type": "application/x-amz-json-1.1",
      "x-amz-target": "TrentService.CreateKey",
      authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=none`,
    },
    body: "{}",
  });
  return ((await response.json()) as { KeyMetadata: { KeyId: string } }).KeyMetadata.KeyId;
}

describe.skipIf(missing)(
  `the internal Vault's configuration on an AWS emulator${missing ? ` (${missing})` : ""}`,
  () => {
    let moto: MotoServer;
    let folder: string;
    let config: Record<string, unknown>;
    let bucket: string;
    let nodes: Node[] = [];
    let root: Secret;

    /** The template's own configuration, with what is AWS's at the emulator and a node's address as it is here. */
    async function startNode(): Promise<Node> {
      const listen = await freeListen();
      const [host, port] = listen.split(":");
      const text = JSON.stringify(config)
        .replaceAll("{{ GetPrivateIP }}:8200", listen)
        .replaceAll("{{ GetPrivateIP }}:8201", `${host}:${Number(port) + 1}`)
        .replaceAll("0.0.0.0:8200", listen);
      // The certificate is the operator's; here nodes speak in clear, on loopback.
      const { tls_cert_file, tls_key_file, tls_min_version, tls_disable_client_certs, ...tcp } =
        JSON.parse(text).listener.tcp;
      const settings = { ...JSON.parse(text), listener: { tcp: { ...tcp, tls_disable: true } } };
      settings.api_addr = `http://${listen}`;
      const endpoint = { address: `http://${listen}` };
      const dir = await mkdtemp(join(folder, "node-"));
      const server = await startVaultServer(inject("vaultBinary"), dir, settings, endpoint, credentials);
      return { ...endpoint, server, client: vaultClient(endpoint, () => root) };
    }

    const states = () => Promise.all(nodes.map(({ client }) => health(client)));
    const active = async (): Promise<Node> => {
      const found = nodes[(await states()).indexOf("active")];
      if (!found) throw new Error("no node is active");
      return found;
    };
    const whenLed = (count: number) =>
      vi.waitFor(
        async () =>
          expect((await states()).toSorted()).toEqual(["active", ...Array(count - 1).fill("standby")]),
        { timeout: TAKEN_OVER_WITHIN_MS, interval: 200 },
      );

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "strongroom-internal-vault-"));
      moto = await startMoto();
      const { endpoint } = moto;
      const client = {
        endpoint,
        region: REGION,
        credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "example" },
      };
      const { deployment } = synthesize();
      const of = (type: string, id: string) =>
        deployment.resource("StrongroomInternalVault", type, id).properties;
      const container = of("AWS::ECS::TaskDefinition", "TaskDefinition").ContainerDefinitions[0];
      const given = JSON.parse(
        container.Environment.find(({ Name }: { Name: string }) => Name === "FILE_VAULT_JSON").Value,
      );
      bucket = given.storage.s3.bucket;
      const s3 = new S3Client({ ...client, forcePathStyle: true });
      await s3.send(
        new CreateBucketCommand({
          Bucket: bucket,
          CreateBucketConfiguration: { LocationConstraint: REGION },
        }),
      );
      await s3.send(
        new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: "Enabled" } }),
      );
      const { KeySchema, AttributeDefinitions, BillingMode } = of("AWS::DynamoDB::Table", "Lock");
      await new DynamoDBClient(client).send(
        new CreateTableCommand({
          TableName: given.ha_storage.dynamodb.table,
          KeySchema,
          AttributeDefinitions,
          BillingMode,
        }),
      );
      const [sealKey, storageKey] = [await createKey(endpoint), await createKey(endpoint)];
      config = {
        ...given,
        storage: {
          s3: {
            ...given.storage.s3,
            kms_key_id: storageKey,
            endpoint,
            s3_force_path_style: "true",
            disable_ssl: "true",
          },
        },
        ha_storage: { dynamodb: { ...given.ha_storage.dynamodb, endpoint } },
        seal: { awskms: { ...given.seal.awskms, kms_key_id: sealKey, endpoint } },
      };
      const first = await startNode();
      nodes = [first];
      const open = vaultClient({ address: first.address }, undefined, 60_000);
      const { root_token } = await open.write("sys/init", { recovery_shares: 1, recovery_threshold: 1 });
      root = new Secret(root_token as string);
    }, 120_000);

    afterAll(async () => {
      await Promise.all(nodes.map(({ server }) => server.end("SIGKILL")));
      await moto?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    test("three nodes unseal themselves, one leads, and another takes over when it is killed", async () => {
      while (nodes.length < NODES) nodes.push(await startNode());
      await whenLed(NODES);
      const leader = await active();
      await leader.client.write("sys/mounts/registry", { type: "kv", options: { version: "1" } });
      await leader.client.write("registry/org", { state: "ready" });
      await leader.server.end("SIGKILL");
      nodes = nodes.filter((node) => node !== leader);
      await whenLed(NODES - 1);
      expect((await (await active()).client.read("registry/org")).data).toEqual({ state: "ready" });
    });

    test("comes back from its bucket as it was at a time, by the tool of the runbook", async () => {
      const { client } = await active();
      await client.write("registry/kept", { state: "before" });
      await sleep(2_000); // S3 tells times to the second.
      const at = new Date(Math.floor(Date.now() / 1000) * 1000);
      await sleep(2_000);
      await client.write("registry/kept", { state: "after" });
      await client.write("registry/later", { state: "after" });
      await client.delete("registry/org");
      await Promise.all(nodes.map(({ server }) => server.end()));
      nodes = [];

      const restore = (...more: string[]) =>
        spawnSync(process.execPath, [RECOVERY, "--bucket", bucket, "--at", at.toISOString(), ...more], {
          env: { ...credentials, PATH: process.env.PATH, AWS_ENDPOINT_URL_S3: moto.endpoint },
          encoding: "utf8",
        });
      const looked = restore();
      expect(looked.stderr).toContain("nothing was written: add --write");
      expect(looked.stdout).toMatch(/^removed .*\/later$/m);
      // Once more does no harm: a copy is a version like any other.
      for (const done of [restore("--write"), restore("--write")]) {
        expect({ status: done.status, stderr: done.stderr }).toMatchObject({ status: 0 });
        expect(done.stdout).toMatch(/^back .*\/org$/m);
      }

      nodes = [await startNode()];
      await whenLed(1);
      const back = (await active()).client;
      expect((await back.read("registry/kept")).data).toEqual({ state: "before" });
      expect((await back.read("registry/org")).data).toEqual({ state: "ready" });
      await expect(back.read("registry/later")).rejects.toMatchObject({ status: 404 });
    });

    test("the tool takes no time that is not UTC's, none to come, and no bucket unnamed", () => {
      for (const args of [
        ["--bucket", "b"],
        ["--at", "2026-11-24T03:00:00Z"],
        ["--bucket", "b", "--at", "2026-11-24 03:00"],
        ["--bucket", "b", "--at", "2999-01-01T00:00:00Z"],
      ]) {
        const { status, stderr } = spawnSync(process.execPath, [RECOVERY, ...args], { encoding: "utf8" });
        expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining("usage:") });
      }
    });
  },
);
