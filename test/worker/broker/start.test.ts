import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished } from "vitest";
import { dataFrames, jsonFrame } from "../../../services/shared/broker/frames.ts";
import { embeddedQueue } from "../../../services/shared/queue/embedded.ts";
import { type BrokerStage, readAnswer, startBrokerStage } from "../../harness/broker.ts";
import { newJobId } from "../../harness/credential-jobs.ts";
import { test as base } from "../../harness/fixtures.ts";
import {
  BROKEN_ANSWERS,
  certificateOf,
  type RawDestination,
  startRawDestination,
} from "../../harness/raw-destination.ts";

/** What trickles, stands still or is no HTTP is sent by bytes. */
const raw = { react: (_socket: TLSSocket, _request: string): void => {} };
const test = base
  .extend("provider", { scope: "file" }, async ({ issuer: _ }, { onCleanup }): Promise<RawDestination> => {
    const provider = await startRawDestination(certificateOf("provider.example"), (socket, request) =>
      raw.react(socket, request),
    );
    onCleanup(provider.close);
    return provider;
  })
  .extend("stage", { scope: "file" }, async ({ internal, provider }, { onCleanup }): Promise<BrokerStage> => {
    const changes = { patience: { head: 1_000, idle: 1_000 } };
    const stage = await startBrokerStage(internal, { changes, exceptions: [provider.exception] });
    onCleanup(stage.stop);
    return stage;
  });
test.beforeEach(({ stage }) => {
  stage.destination.clear();
  stage.destination.answer = undefined;
});

const MIB = 1024 * 1024;

describe("as a process under the flags of production", () => {
  test("it answers uses, makes sealing keys, and stops with status 0", async ({ stage }) => {
    const worker = await stage.startProcess();
    expect(worker.lines().find(({ msg }) => msg === "started")).toMatchObject({
      ...{ kind: "broker", permissionModel: true },
    });
    const answer = await stage.use({ port: worker.port });
    expect(answer).toMatchObject({ head: { status: 200 }, end: { scrubbed: 0 } });
    expect(await worker.listening()).toHaveLength(1);
    const jobs = await embeddedQueue(join(worker.queues, "jobs.sqlite"));
    onTestFinished(() => jobs.close());
    const [org = ""] = Object.values(stage.orgs);
    const message = { type: "make-sealing-key", job: newJobId(), org, attempt: 1, notAfter: 4e9 };
    await jobs.send({ body: JSON.stringify({ ...message, key: `k${"a".repeat(15)}` }), group: org });
    await expect
      .poll(() => worker.lines().filter(({ msg }) => msg === "job ended"))
      .toMatchObject([{ type: "make-sealing-key", outcome: "key-made" }]);
    // One that is in hand ends first.
    let finish = () => {};
    stage.destination.answer = (_, response) => {
      finish = () => response.end("finished");
    };
    const inHand = stage.use({ port: worker.port });
    await expect.poll(() => stage.destination.effects).toHaveLength(2);
    worker.child.kill("SIGTERM");
    await expect
      .poll(() => stage.use({ port: worker.port, client: { ...stage.intake } }).catch(({ code }) => code))
      .toBe("ECONNREFUSED");
    finish();
    expect((await inHand).body.toString()).toBe("finished");
    expect(await worker.ended).toBe(0);
    expect(worker.output()).not.toContain("tiger");
  });

  test("it reads, writes and starts nothing but its own", async ({ stage, folder }) => {
    const store = join(folder, "store.sqlite");
    await writeFile(store, "");
    const probe = fileURLToPath(new URL("../../harness/worker-probe.ts", import.meta.url));
    const worker = await stage.startProcess({
      environment: { PROBE_STORE: store, PROBE_FOLDER: folder },
      nodeFlags: [`--allow-fs-read=${probe}`, "--import", probe],
    });
    worker.child.kill("SIGUSR2");
    await expect.poll(() => worker.lines().filter(({ probed }) => probed)).toHaveLength(1);
    const [found] = worker.lines().filter(({ probed }) => probed);
    // The file `node:sqlite` opens is what Node's permission model does not cover.
    const open = (found?.done as string[]).filter((name) => !/the store$/.test(name));
    expect(open).toEqual([]);
    expect((await stage.use({ port: worker.port })).head?.status).toBe(200);
  });

  test("64 MiB stream through it, both ways, in flat memory", { timeout: 120_000 }, async ({
    stage,
    provider,
  }) => {
    const worker = await stage.startProcess();
    const size = 64 * MIB;
    const block = randomBytes(MIB);
    raw.react = (socket, request) => {
      if (request.startsWith("GET")) return void socket.write("HTTP/1.1 204 No Content\r\n\r\n");
      let left = size - (request.length - request.indexOf("\r\n\r\n") - 4);
      socket.removeAllListeners("data").on("data", (chunk: Buffer) => {
        left -= chunk.length;
        if (left > 0) return;
        socket.removeAllListeners("data").resume();
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        let blocks = 64;
        const more = () => {
          while (blocks-- > 0) if (!socket.write(block)) return void socket.once("drain", more);
        };
        more();
      });
    };
    const policy = stage.policy({ origin: provider.origin });
    const { port } = worker;
    expect((await stage.use({ port, policy })).head?.status).toBe(204);
    const before = await worker.rss();
    let most = before;
    const watch = setInterval(async () => {
      most = Math.max(most, await worker.rss().catch(() => 0));
    }, 20);
    onTestFinished(() => clearInterval(watch));

    const headers: [string, string][] = [["Content-Type", "text/plain"]];
    const method = "POST" as const;
    const call = await stage.call({
      ...{ method, policy, headers },
      call: { request: { method, path: "/v1/big", headers, body: { bytes: size } } },
    });
    const request = stage.open({ port });
    let passed = 0;
    const answer = readAnswer(request, (chunk) => {
      passed += chunk.length;
    });
    request.write(jsonFrame("call", call));
    request.write(jsonFrame("go", { receipt: stage.receipt(call) }));
    for (let sent = 0; sent < 64; sent++) {
      for (const piece of dataFrames(block)) {
        if (!request.write(piece)) await new Promise<void>((resolve) => request.once("drain", resolve));
      }
    }
    request.end(jsonFrame("end", {}));
    const { end, failed } = await answer;
    expect(failed).toBeUndefined();
    expect(end).toMatchObject({ sentBytes: size, receivedBytes: size, scrubbed: 0 });
    expect(passed).toBe(size);
    expect(most - before).toBeLessThan(48 * MIB);
  });
});

describe("a hostile destination", () => {
  const CUT = ["a bad chunk", "half a body"];

  for (const [name, bytes, failure] of BROKEN_ANSWERS) {
    test(`that answers with ${name}`, async ({ stage, provider }) => {
      raw.react = (socket) => void socket.end(bytes);
      const answer = await stage.use({ policy: stage.policy({ origin: provider.origin }) });
      const expected = failure === "unreachable" ? failure : "answer_unusable";
      expect(answer.failed).toMatchObject({ failure: expected, isSent: true });
      expect(answer.head?.status).toBe(CUT.includes(name) ? 200 : undefined);
      expect(answer.end).toBeUndefined();
    });
  }

  test("that redirects, is not followed", async ({ stage, provider }) => {
    const places = ["http://169.254.169.254/", "https://127.0.0.1/", "//evil.example/", "/v2/admin"];
    for (const place of places) {
      for (const status of [301, 302, 303, 307, 308]) {
        raw.react = (socket) =>
          void socket.write(`HTTP/1.1 ${status} Moved\r\nLocation: ${place}\r\nContent-Length: 0\r\n\r\n`);
        const before = provider.seen.length;
        const answer = await stage.use({ policy: stage.policy({ origin: provider.origin }) });
        expect(answer.head?.status).toBe(status);
        expect(provider.seen.length).toBe(before + 1);
      }
    }
  });

  test("that never ends is cut when the caller goes, and holds nobody up", async ({ stage, provider }) => {
    raw.react = (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      const more = () => {
        while (!socket.destroyed && socket.write("x".repeat(65_536)));
        if (!socket.destroyed) socket.once("drain", more);
      };
      more();
    };
    const policy = stage.policy({ origin: provider.origin });
    const call = await stage.call({ policy });
    const request = stage.open();
    let passed = 0;
    const answer = readAnswer(request, (chunk) => {
      passed += chunk.length;
    }).catch((error) => error);
    request.write(jsonFrame("call", call));
    request.end(jsonFrame("go", { receipt: stage.receipt(call) }));
    await expect.poll(() => passed).toBeGreaterThan(4 * MIB);
    expect((await stage.use()).head?.status).toBe(200);
    request.destroy();
    await answer;
    await expect.poll(() => [...provider.sockets].every(({ destroyed }) => destroyed)).toBe(true);
  });

  test("that echoes the credential in pieces gets it removed; one in which it cannot be told is cut", async ({
    stage,
    provider,
  }) => {
    raw.react = async (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      for (const character of `before sk_live_tiger42 after`) {
        socket.write(character);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      socket.end();
    };
    const policy = stage.policy({ origin: provider.origin });
    const echoed = await stage.use({ policy });
    expect(echoed.body.toString()).toBe("before [removed] after");
    expect(echoed.end).toMatchObject({ scrubbed: 1 });
    raw.react = (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\nbefore ");
      const more = () => {
        while (!socket.destroyed && socket.write("a".repeat(65_536)));
        if (!socket.destroyed) socket.once("drain", more);
      };
      more();
    };
    const cut = await stage.use({ policy, value: "aaaaaaaa" });
    expect(cut.failed).toMatchObject({ failure: "response_blocked", isSent: true });
    expect(cut.body.toString()).not.toContain("aaaaaaaa");
  });
});
