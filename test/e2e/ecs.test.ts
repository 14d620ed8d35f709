import { readFileSync } from "node:fs";
import { appendFile, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { OrgView } from "../../services/shared/api/orgs.ts";
import { orgNames, orgTable } from "../../services/shared/aws/names.ts";
import { orgParameters } from "../../services/shared/parameters/store.ts";
import { eventually, Stage } from "../control-plane/stage.ts";
import { describeOnAws } from "../harness/aws/describe.ts";
import { AwsStage } from "../harness/aws/stage.ts";
import { startTlsFront, type TlsFront } from "../harness/aws/tls-front.ts";
import { startGateway, type TestGateway } from "../harness/gateway.ts";

const CERTIFICATE_SECONDS = 60;

/** What a secret looks like, whatever it is. */
const SECRET = /hv[sb]\.[A-Za-z0-9_-]{20}|-----BEGIN [A-Z ]*PRIVATE KEY/;

describeOnAws("on AWS", () => {
  let aws: AwsStage;
  let stage: Stage;
  let gateway: TestGateway;
  let front: TlsFront;
  let acme: OrgView;
  /** Its certificates end within a minute. */
  let brief: OrgView;
  let briefUntil: number;

  beforeAll(async () => {
    const vaultBinary = inject("vaultBinary");
    aws = await AwsStage.open({ emulator: inject("moto"), vaultBinary });
    stage = await Stage.open({ vaultBinary, settings: aws.settings });
    front = await startTlsFront(stage.internal.endpoint.address, stage.internal.root);
    const authority = join(stage.folder, "internal-vault-ca.pem");
    await writeFile(authority, front.ca);
    const secure = {
      STRONGROOM_INTERNAL_VAULT_ADDR: front.address,
      STRONGROOM_INTERNAL_VAULT_CA_FILE: authority,
    };
    await stage.startControlPlane(undefined, secure);
    gateway = await startGateway({ issuers: [stage.issuer], ca: stage.internal.ca, orgs: [] });
    acme = await stage.onboard("acme");
    await stage.startControlPlaneAnew({
      ...secure,
      STRONGROOM_CERTIFICATE_SECONDS: String(CERTIFICATE_SECONDS),
    });
    await stage.whenReady();
    brief = await stage.onboard("brief");
    briefUntil = Date.parse((await stage.record(brief.id)).certificateNotAfter ?? "");
    for (const org of [acme, brief]) await stage.writeSecret(org, `of ${org.name}`);
    const orgs = [acme, brief].map(({ id, claim, listen }) => ({ id, claim, address: `https://${listen}` }));
    await gateway.publish(orgs);
  });
  afterAll(async () => {
    await gateway?.close();
    await front?.close();
    await stage?.close();
    await aws?.close();
  });

  const read = async ({ claim }: OrgView) => {
    const token = stage.issuer.token({ org_id: claim });
    const { status, json } = await gateway.call("GET", "/v1/secret/data/app/db", { token });
    return status === 200 ? (json.data?.data as { value: string }).value : status;
  };
  const erase = async (org: OrgView) => {
    const { id } = await stage.json<{ id: string }>("DELETE", `/v1/orgs/${org.id}`);
    return stage.ended(id);
  };

  test("its secret is read through the gateway, by the name that follows its task", async () => {
    expect(acme.listen).toBe(`${acme.id}.${aws.cell.namespaceName}:8200`);
    expect(await read(acme)).toBe("of acme");
  });

  test("no secret is in any task definition, request, tag or log", async () => {
    const { inventory } = aws;
    const parameters = Object.values(orgParameters("/strongroom", acme.id));
    const values = await Promise.all(parameters.map((name) => inventory.parameter(name)));
    const [token = "", , key = ""] = values;
    expect(token).toMatch(SECRET);
    expect(key).toMatch(SECRET);
    const definitions = await inventory.definitions();
    expect(definitions.length).toBeGreaterThan(1);
    const requests = aws.wire.calls.filter(({ operation }) => operation !== "PutParameter");
    const seen = { definitions, requests, agent: aws.log, controlPlane: stage.log("control-plane") };
    for (const [where, what] of Object.entries(seen)) {
      const text = JSON.stringify(what);
      expect(SECRET.exec(text), where).toBeNull();
      for (const value of [token, key.split("\n")[1] ?? ""]) expect(text.includes(value), where).toBe(false);
    }
    const [container] =
      definitions.find(({ family }) => family === orgNames(acme.id).service)?.containerDefinitions ?? [];
    expect(container?.secrets?.map(({ valueFrom }) => valueFrom?.replace(/.*:parameter/, "")).sort()).toEqual(
      parameters.sort(),
    );
  });

  test("the running Vault's environment holds no key, and what runs beside it nothing at all", () => {
    const [task] = aws.tasks(acme.id);
    const pid = task?.pid ?? 0;
    const [environment, command] = ["environ", "cmdline"].map((file) =>
      readFileSync(`/proc/${pid}/${file}`, "utf8"),
    );
    expect(command).toBe("vault\0server\0-config=vault.json\0");
    expect(environment).toContain("VAULT_TOKEN=hvs.");
    expect(environment).not.toMatch(/BEGIN|FILE_TLS|VAULT_CONFIG/);
    const loops = childrenOf(pid);
    expect(loops).toHaveLength(1);
    for (const loop of loops) {
      expect(readFileSync(`/proc/${loop}/environ`, "utf8")).not.toMatch(/VAULT|FILE|BEGIN/);
    }
  });

  test("each request is in both audit logs, and the file of them stays small", async () => {
    const [task] = aws.tasks(acme.id);
    const root = join(task?.folder ?? "", "root");
    const client = await stage.member(acme);
    await client.read("secret/data/app/db");
    const log = await readFile(join(task?.folder ?? "", "log"), "utf8");
    const file = await readFile(join(root, "audit.log"), "utf8");
    for (const text of [log, file]) expect(text).toContain('"path":"secret/data/app/db"');
    await appendFile(join(root, "audit.log"), "x".repeat(5 * 1024 * 1024));
    await eventually(
      "it is moved away",
      async () => (await stat(join(root, "audit.log.1")).catch(() => undefined)) && true,
    );
    await eventually("Vault writes to a new one", async () => {
      await client.read("secret/data/app/db");
      const found = await stat(join(root, "audit.log")).catch(() => undefined);
      return found && found.size > 0 && found.size < 1024 * 1024 ? true : undefined;
    });
  });

  test("refused by AWS at a step, the job fails with AWS's words, undoes, and the same request then succeeds", async () => {
    const refusal = {
      code: "AccessDeniedException",
      message: "not authorized to perform: ecs:CreateService",
    };
    aws.wire.fail("ECS CreateService", refusal);
    const failed = await stage.ended((await stage.create("globex")).id);
    expect(failed.error).toMatchObject({
      code: "step_failed",
      step: "start-instance",
      detail: expect.stringMatching(
        /ECS CreateService .*: AccessDeniedException \(request wire-\d+\): not auth/,
      ),
      retry: true,
    });
    expect(await aws.inventory.of(failed.org)).toMatchObject({
      roles: [],
      services: 0,
      names: 0,
      definitions: 0,
      parameters: [],
    });
    const globex = await stage.onboard("globex");
    expect(globex.id).not.toBe(failed.org);
    await stage.writeSecret(globex, "back");
    expect((await erase(globex)).state).toBe("succeeded");
    expect(await aws.inventory.of(globex.id)).toEqual({
      roles: [],
      definitions: 0,
      services: 0,
      names: 0,
      parameters: [],
      logGroups: [orgNames(globex.id).logGroup],
      tables: [orgTable(globex.id, 1)],
    });
    expect(await aws.inventory.tableTags(orgTable(globex.id, 1))).toMatchObject({
      org: globex.id,
      "strongroom:ready": expect.any(String),
      "strongroom:set-aside": "deleted",
    });
    expect(aws.tasks(globex.id)).toEqual([]);
  });

  test("while tasks cannot start, the record says why in ECS's words, and it heals", async () => {
    aws.wire.fail("SSM GetParameter", { code: "InternalServerError", status: 500 }, 1_000);
    const [task] = aws.tasks(acme.id);
    task?.kill();
    const told = await eventually("the record tells", async () => {
      const { lastError } = await stage.record(acme.id);
      return lastError?.message.includes("unable to retrieve secrets from ssm") ? lastError : undefined;
    });
    expect(told.message).toMatch(/ResourceInitializationError: unable to pull secrets/);
    aws.wire.heal();
    await eventually("it is well again", async () =>
      (await stage.record(acme.id)).lastError === undefined ? true : undefined,
    );
    // The one that was killed holds the lock for 15 s.
    await eventually("it is read", async () => ((await read(acme)) === "of acme" ? true : undefined));
  });

  test("a certificate is renewed by a replacement, and its Vault serves past the old one's end", async () => {
    await eventually("the first certificate has ended", async () =>
      Date.now() > briefUntil + 1_000 ? true : undefined,
    );
    const serial = (await stage.record(brief.id)).certificateSerial;
    expect(Date.parse((await stage.record(brief.id)).certificateNotAfter ?? "")).toBeGreaterThan(briefUntil);
    await eventually("it is read", async () => ((await read(brief)) === "of brief" ? true : undefined));
    expect(serial).toBeDefined();
    // Definitions of before are tidied up when nothing is being replaced any more.
    await eventually("one definition is left", async () =>
      (await aws.inventory.of(brief.id)).definitions === 1 ? true : undefined,
    );
    expect(await aws.inventory.of(brief.id)).toMatchObject({ definitions: 1, services: 1 });
  }, 180_000);
});

/** The processes that a process has started and that live. */
function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return text === "" ? [] : text.split(" ").map(Number);
}
