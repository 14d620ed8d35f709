import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { CloudWatchLogsClient, CreateLogGroupCommand } from "@aws-sdk/client-cloudwatch-logs";
import { afterAll, beforeAll, expect, inject, test, vi } from "vitest";
import { slotKey } from "../../../services/shared/audit/trail.ts";
import { awsEnvironment, clientOf } from "../../harness/aws/cell.ts";
import { collectLog } from "../../harness/aws/collect-log.ts";
import { describeOnAws } from "../../harness/aws/describe.ts";
import { type MotoServer, startMoto } from "../../harness/aws/moto.ts";
import { startWire, type Wire } from "../../harness/aws/wire.ts";
import { type InternalVault, startInternalVault } from "../../harness/vault.ts";
import { openTrail, verify } from "../commands/trail-verifier.ts";

const FILTER = "CloudWatch Logs FilterLogEvents";
/** Events on a page. */
const PAGE = 2;

/** In front of the emulator: pages as small as CloudWatch Logs may make them, the first one empty. */
async function startPages(emulator: string) {
  const pages = { url: "", left: Number.POSITIVE_INFINITY, close: () => server.close() };
  const server = createServer(async (request, response) => {
    const { nextToken, ...input } = (await json(request)) as { nextToken?: string };
    response.setHeader("content-type", "application/x-amz-json-1.1");
    if (pages.left-- <= 0) {
      const error = { __type: "InvalidParameterException", message: "The specified nextToken is invalid." };
      response.writeHead(400).end(JSON.stringify(error));
      return;
    }
    if (!nextToken) {
      response.end(JSON.stringify({ events: [], nextToken: "none-yet" }));
      return;
    }
    const { host: _, "content-length": __, connection: ___, ...headers } = request.headers;
    const body = { ...input, limit: PAGE, ...(nextToken !== "none-yet" && { nextToken }) };
    const answer = await fetch(emulator, {
      method: "POST",
      headers: headers as Record<string, string>,
      body: JSON.stringify(body),
    });
    response.writeHead(answer.status).end(await answer.text());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  pages.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return pages;
}

/** A real internal Vault's audit log, brought to CloudWatch Logs as a container's log driver does: an event a line. */
describeOnAws("the trail, verified on AWS", () => {
  let internal: InternalVault;
  let moto: MotoServer;
  let pages: Awaited<ReturnType<typeof startPages>>;
  let wire: Wire;
  let logs: CloudWatchLogsClient;
  beforeAll(async () => {
    moto = await startMoto(inject("moto"));
    pages = await startPages(moto.endpoint);
    wire = await startWire({ ecs: pages.url, others: pages.url });
    logs = new CloudWatchLogsClient(clientOf(moto.endpoint));
    for (const [name, value] of Object.entries(awsEnvironment(wire.url))) vi.stubEnv(name, value);
    internal = await startInternalVault(inject("vaultBinary"));
    for (const action of ["one", "two", "three", "four"]) {
      await openTrail(internal).append({ actor: "ada", action });
    }
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await internal?.stop();
    await wire?.close();
    pages?.close();
    await moto?.stop();
  });

  /** The audit log as it is, without the lines that hold a text, in a new group: a stream a node, in turns. */
  async function collect(logGroupName: string, without?: string): Promise<string> {
    await logs.send(new CreateLogGroupCommand({ logGroupName }));
    const lines = (await readFile(`${internal.dir}/audit.log`, "utf8")).trimEnd().split("\n");
    const kept = lines.filter((line) => without === undefined || !line.includes(without));
    for (const node of [0, 1]) {
      const own = kept.filter((_, n) => n % 2 === node);
      own.push("x-strongroom-trail-head, which is no JSON");
      await collectLog(logs, logGroupName, `internal-vault/internal-vault/${node}`, own);
    }
    return logGroupName;
  }

  const here = false;

  test("an honest trail passes: all pages are read, empty ones and those refused for their rate too", async () => {
    const logGroup = await collect("/honest");
    wire.fail(FILTER, { code: "ThrottlingException", message: "Rate exceeded" }, 2);
    wire.calls.length = 0;
    const { printed, stderr } = await verify(internal, { here, logGroup });
    expect(printed).toMatchObject({ entries: 4, audited: { from: 1, to: 4, gaps: 0 } });
    // A request and its answer for each entry, on pages of two; the audited header's own setting; the empty page.
    expect(wire.calls.length).toBeGreaterThan(2 + 1 + 4);
    const [first] = wire.calls;
    expect(first?.input).toEqual({ logGroupName: logGroup, filterPattern: '"x-strongroom-trail-head"' });
    expect(stderr).toMatch(/^Reading the log group \/honest …\n.*: \d+ records on \d+ pages/);
  });

  test("entries that the log does not tell of are counted", async () => {
    const logGroup = await collect("/lossy", `trail/data/${slotKey(2)}`);
    expect((await verify(internal, { here, logGroup })).printed.audited).toEqual({ from: 1, to: 4, gaps: 1 });
  });

  test("a group that is not there, may not be read, or is another's is named, with what to do", async () => {
    await expect(verify(internal, { here, logGroup: "/nowhere" })).rejects.toMatchObject({
      exit: "usage",
      message: "There is no log group /nowhere in this account and Region",
      hint: expect.stringContaining("/strongroom/platform/internal-vault"),
    });
    const logGroup = await collect("/others", "trail/data/");
    await expect(verify(internal, { here, logGroup })).rejects.toMatchObject({
      exit: "usage",
      message: expect.stringContaining("/others holds no write of an entry"),
    });
    wire.fail(FILTER, { code: "AccessDeniedException", message: "not for you" });
    await expect(verify(internal, { here, logGroup })).rejects.toMatchObject({
      exit: "permission",
      message: expect.stringContaining("not for you"),
      hint: expect.stringContaining("operator's task"),
    });
  });

  test("a log that breaks off half-way verifies nothing", async () => {
    const logGroup = await collect("/half");
    pages.left = 3;
    await expect(verify(internal, { here, logGroup })).rejects.toThrow("nextToken is invalid");
    pages.left = Number.POSITIVE_INFINITY;
  });

  test("a trail cut by a holder of root, and written anew behind the cut, is found in both states", async () => {
    const logGroup = await collect("/forged");
    await internal.root.delete(`trail/metadata/${slotKey(4)}`);
    await expect(verify(internal, { here, logGroup })).rejects.toThrow(
      /entry 4 that was written at .* is gone/,
    );
    await openTrail(internal).append({ actor: "eve", action: "forged" });
    // Without the log nobody would know.
    expect((await verify(internal, { here })).printed).toMatchObject({ entries: 4 });
    await expect(verify(internal, { here, logGroup })).rejects.toThrow(
      /entry 4 that was written at .* is another now/,
    );
  });
});
