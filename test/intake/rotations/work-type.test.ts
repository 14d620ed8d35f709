import { afterAll, beforeAll, expect, test } from "vitest";
import type { BrokerPolicy } from "../../../services/shared/broker/policy.ts";
import { describeOnPostgresql, type PostgresqlServer, startPostgresql } from "../../harness/postgresql.ts";
import { type RotationStage, startRotationStage } from "../../harness/rotation-stage.ts";

const FIRST = "first-password-0123456789";
let server: PostgresqlServer;
let stage: RotationStage;
let roles = 0;

describeOnPostgresql("the password of a role of a real PostgreSQL", (programs) => {
  beforeAll(async () => {
    server = await startPostgresql(programs);
    stage = await startRotationStage({
      privateDestinations: new Map([[server.exception.origin, server.exception]]),
    });
    await stage.startWorker();
  });
  afterAll(async () => {
    await stage?.close();
    await server?.stop();
  });

  async function newRole(): Promise<string> {
    const role = `app_${++roles}`;
    await server.sql(`CREATE ROLE ${role} LOGIN PASSWORD '${FIRST}'`);
    const { host, port } = server;
    const policy: BrokerPolicy = {
      ...{ origin: "https://db.example.com", inject: { header: "Authorization", format: "{}" }, rules: [] },
      rotation: { type: "postgresql", host, port, database: "postgres", role },
    };
    const name = role.replace("_", "-");
    expect((await stage.put(name, FIRST, policy)).status).toBe(201);
    expect((await stage.admin("PUT", `${name}/rotation`, {})).status).toBe(201);
    return role;
  }

  test("is replaced at once, without a grace, and again", async () => {
    const role = await newRole();
    const name = role.replace("_", "-");
    for (const version of [2, 3]) {
      const before = (await stage.stored(name)).value;
      const run = await stage.ended(name, await stage.start(name));
      expect(run).toMatchObject({ state: "succeeded", oldKey: "replaced", toVersion: version });
      expect(run.steps.map((step: { phase: string }) => step.phase)).toEqual(["make", "apply", "ended"]);
      const { value } = await stage.stored(name);
      expect(await server.logsIn(role, value)).toBe(true);
      expect(await server.logsIn(role, before)).toBe(false);
      expect(await server.log()).not.toContain(value);
    }
    expect(await stage.others(name)).toEqual([]);
  });

  test("that somebody has changed is not replaced; once it is put anew it is", async () => {
    const role = await newRole();
    const name = role.replace("_", "-");
    await server.sql(`ALTER ROLE ${role} PASSWORD 'changed-by-hand-123'`);
    const run = await stage.ended(name, await stage.start(name));
    expect(run).toMatchObject({ state: "failed", failure: { class: "provider_refused" } });
    // The new password may be in force, as far as anybody knows: it is kept, and the rules stay as they are.
    expect(await stage.others(name)).toEqual([expect.stringContaining("pending")]);
    expect((await stage.admin("PUT", `${name}/rules`, { rules: [] })).status).toBe(200);
    const rules = [{ id: "r", methods: ["GET"], paths: ["/v1"], who: { level: "reader" } }];
    expect((await stage.admin("PUT", `${name}/rules`, { rules })).json.code).toBe("conflict");
    const { destination } = (await stage.admin("GET", name)).json;
    expect((await stage.put(name, "changed-by-hand-123", destination)).status).toBe(200);
    expect(await stage.ended(name, await stage.start(name))).toMatchObject({ state: "succeeded" });
    expect(await server.logsIn(role, (await stage.stored(name)).value)).toBe(true);
    expect(await stage.others(name)).toEqual([]);
  });

  test("whose change was made and never reported: the next run finds it in force", async () => {
    const role = await newRole();
    const name = role.replace("_", "-");
    // The server takes no connections of the role while the run tries; before, it has changed the password.
    await server.sql(`ALTER ROLE ${role} NOLOGIN`);
    const failed = await stage.ended(name, await stage.start(name));
    expect(failed.state).toBe("failed");
    await server.sql(`ALTER ROLE ${role} LOGIN`);
    const run = await stage.ended(name, await stage.start(name));
    expect(run.steps.map((step: { phase: string }) => step.phase)).toEqual(["apply", "ended"]);
    expect(await server.logsIn(role, (await stage.stored(name)).value)).toBe(true);
  });
});
