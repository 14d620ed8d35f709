import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { open } from "../../services/shared/envelope/envelope.ts";
import { transitKeyProvider } from "../../services/shared/envelope/transit.ts";
import { openQueues } from "../../services/shared/queue/open-queues.ts";
import { Secret } from "../../services/shared/secret.ts";
import { vaultClient } from "../../services/shared/vault/client.ts";
import { policyHash } from "../../services/shared/work/destination.ts";
import { formsIn, formsOf, newCanary } from "../harness/canary.ts";
import { headerPolicy } from "../harness/credential-jobs.ts";
import { type CredentialPlatform, startCredentialPlatform } from "../harness/credentials.ts";
import { readStore } from "../harness/thief.ts";

/*
 * Someone has the store's file or a queue's, and no login: by a stolen disk, a backup, or a dead letter that an operator
 * looks at. And someone can write to the store. The intake and the worker are honest.
 */

type Row = { partition: string; sort: string; body: Record<string, unknown> };

let platform: CredentialPlatform;
const values = { acme: newCanary(), github: newCanary(), globex: newCanary() };
const forms = Object.values(values).flatMap(formsOf);
const GET = { method: "GET", path: "/v1/charges" } as const;
beforeAll(async () => {
  platform = await startCredentialPlatform(inject("vaultBinary"), { destinations: 2 });
  await platform.putCredential("stripe", values.acme);
  await platform.putCredential("github", values.github);
  await platform.putCredential("stripe", values.globex, platform.token("org_globex"));
});
afterAll(() => platform?.stop());
beforeEach(() => {
  for (const destination of platform.destinations) destination.clear();
});

const org = (claim: string) => platform.orgs[claim] ?? "";
const materialOf = (claim: string, name: string): Row => {
  const found = readStore(platform.storeFile).find(
    ({ partition, sort, body }) =>
      partition.startsWith(`org/${org(claim)}/`) && sort === name && "material" in body,
  );
  if (!found) throw new Error(`there is no material of ${name}`);
  return found;
};
const recordOf = (claim: string, name: string): Row => {
  const found = readStore(platform.storeFile).find(
    ({ partition, sort, body }) =>
      partition.startsWith(`org/${org(claim)}/`) && sort === name && "destination" in body,
  );
  if (!found) throw new Error(`there is no record of ${name}`);
  return found;
};

/** Writes to the store as the intake would not; returns what undoes it. */
function overwrite({ partition, sort, body }: Row): () => void {
  const write = (text: string) => {
    const database = new DatabaseSync(platform.storeFile, { timeout: 5_000 });
    const changed = database
      .prepare(`UPDATE items SET body = ?, revision = revision + 1 WHERE "partition" = ? AND sort = ?`)
      .run(text, partition, sort);
    database.close();
    if (changed.changes !== 1) throw new Error("nothing was overwritten");
  };
  const before = readStore(platform.storeFile).find(
    (row) => row.partition === partition && row.sort === sort,
  );
  write(JSON.stringify(body));
  return () => write(JSON.stringify(before?.body));
}

const files = async (): Promise<[string, Buffer][]> => {
  const names = [
    "intake/store.sqlite",
    "queues/integration/jobs.sqlite",
    "queues/integration/results.sqlite",
  ];
  const all = names.flatMap((name) => [name, `${name}-wal`]).map((name) => join(platform.folder, name));
  return Promise.all(all.map(async (file) => [file, await readFile(file)] as [string, Buffer]));
};

describe("whoever reads the store or the queues", () => {
  test("finds no value in any form", async () => {
    await platform.runJob({
      credential: "stripe",
      request: { ...GET, headers: { "X-Note": "for the worker alone" } },
    });
    for (const [file, content] of await files()) {
      expect(formsIn(content, forms), file).toEqual([]);
      expect(content.includes("for the worker alone"), file).toBe(false);
    }
    const sealed = materialOf("org_acme", "stripe").body.material;
    expect(sealed).toEqual({ envelope: expect.stringMatching(/^[A-Za-z0-9+/]{200,}=*$/) });
  });

  test("opens no envelope without a login", async () => {
    const { material } = materialOf("org_acme", "stripe").body as { material: { envelope: string } };
    const policy = policyHash(headerPolicy(platform.destination.origin));
    const context = {
      org: org("org_acme"),
      credential: "stripe",
      version: "1",
      purpose: "integration" as const,
      policy,
    };
    const envelope = new Uint8Array(Buffer.from(material.envelope, "base64"));
    for (const token of [undefined, new Secret("hvs.guess"), new Secret("root")]) {
      const client = vaultClient(platform.internal.endpoint, token && (() => token));
      const keys = transitKeyProvider(client, "integration");
      await expect(open(keys, context, envelope)).rejects.toMatchObject({ reason: "forbidden" });
    }
  });
});

describe("whoever writes to the store", () => {
  const failsWith = async (failure: string) => {
    const job = await platform.runJob({ credential: "stripe", request: GET });
    expect(job).toMatchObject({ state: "failed", failure: { class: failure } });
    for (const { connections } of platform.destinations) expect(connections).toBe(0);
  };

  test.each<[string, () => Row]>([
    [
      "another organization's envelope",
      () => {
        const mine = materialOf("org_acme", "stripe");
        return {
          ...mine,
          body: { ...mine.body, material: materialOf("org_globex", "stripe").body.material },
        };
      },
    ],
    [
      "another credential's envelope",
      () => {
        const mine = materialOf("org_acme", "stripe");
        return { ...mine, body: { ...mine.body, material: materialOf("org_acme", "github").body.material } };
      },
    ],
    [
      "another destination",
      () => {
        const mine = recordOf("org_acme", "stripe");
        return {
          ...mine,
          body: { ...mine.body, destination: headerPolicy(platform.destinations[1]?.origin ?? "") },
        };
      },
    ],
    [
      "wider paths",
      () => {
        const mine = recordOf("org_acme", "stripe");
        const destination = headerPolicy(platform.destination.origin, { paths: ["/**"] });
        return { ...mine, body: { ...mine.body, destination } };
      },
    ],
    [
      "another header",
      () => {
        const mine = recordOf("org_acme", "stripe");
        const inject = { header: "X-Echo", format: "{}" };
        return {
          ...mine,
          body: { ...mine.body, destination: headerPolicy(platform.destination.origin, { inject }) },
        };
      },
    ],
  ])("and puts %s there gets no value sent anywhere", async (_, changed) => {
    const undo = overwrite(changed());
    try {
      await failsWith("not_openable");
    } finally {
      undo();
    }
  });

  test("can change who may use a credential, and whether it is disabled: this remains possible", async () => {
    const mine = recordOf("org_acme", "stripe");
    const undo = overwrite({ ...mine, body: { ...mine.body, level: "reader" } });
    try {
      const reader = platform.token("org_acme", "reader");
      const asked = { body: { credential: "stripe", request: GET } };
      expect((await platform.api("POST", "/v1/jobs", reader, asked)).status).toBe(202);
    } finally {
      undo();
    }
  });

  test("afterwards, with everything put back, the credential is used as before", async () => {
    expect(await platform.runJob({ credential: "stripe", request: GET })).toMatchObject({
      state: "succeeded",
    });
    expect(platform.destination.effects.at(-1)?.headers.authorization).toBe(`Bearer ${values.acme}`);
  });
});

describe("whoever reads the dead letters", () => {
  test("finds ciphertext alone, and no copy that opens without the worker", async () => {
    const { deadLetters, jobs, results } = await openQueues(`local:${platform.queues("integration")}`);
    try {
      const letters = await deadLetters.list(100);
      // Those of the jobs that failed above.
      expect(letters.length).toBeGreaterThanOrEqual(5);
      for (const { body, reason } of letters) {
        expect(reason).toBe("not_openable");
        expect(formsIn(body, forms)).toEqual([]);
        expect(Object.keys(JSON.parse(body))).toEqual(expect.arrayContaining(["material", "request"]));
        expect(body).not.toContain("/v1/charges");
      }
    } finally {
      await Promise.all([jobs.close(), results.close()]);
    }
  });
});

describe("a credential that was deleted", () => {
  test("is gone from the store's file and its log: envelope and encrypted data key", async () => {
    await platform.putCredential("gone", newCanary());
    const { material } = materialOf("org_acme", "gone").body as { material: { envelope: string } };
    const traces = [material.envelope.slice(0, 80), material.envelope.slice(-80)];
    const found = async () => {
      const all = Buffer.concat((await files()).map(([, content]) => content));
      return traces.filter((trace) => all.includes(trace)).length;
    };
    expect(await found()).toBeGreaterThan(0);
    expect((await platform.api("DELETE", "/v1/credentials/gone")).status).toBe(204);
    await expect.poll(found, { timeout: 10_000 }).toBe(0);
  });

  test("is used no more, by its name or by a new one of the same name", async () => {
    const asked = { body: { credential: "gone", request: GET } };
    expect((await platform.api("POST", "/v1/jobs", undefined, asked)).status).toBe(404);
    await platform.putCredential("gone", newCanary());
    const { body } = await platform.api<{ version: number }>("GET", "/v1/credentials/gone");
    expect(body.version).toBe(2);
  });
});
