import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { dataFrames, jsonFrame } from "../../services/shared/broker/frames.ts";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import { UseLimits } from "../../services/worker/broker/limits.ts";
import { type BrokerStage, readAnswer, startBrokerStage, type UseResult } from "../harness/broker.ts";
import { formsIn, formsOf, newCanary } from "../harness/canary.ts";
import { startCorpus } from "../harness/corpus.ts";
import { type Destination, startDestination } from "../harness/destination.ts";
import { certificateOf, ok, type RawDestination, startRawDestination } from "../harness/raw-destination.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";
import { type Answer, answers } from "./corpus/broker/answers.ts";

/*
 * A hostile destination, by bytes, behind a real broker. Its caller gets the answer that is named, or none; never the
 * credential. Another member with the same credential gets their own answer, whatever came before on a kept connection.
 */

const corpus = startCorpus("malicious destination");
const value = newCanary();
const UNFOUND = ["reversed", "first half", "second half"];
const forms = formsOf(value).filter(([name]) => !UNFOUND.includes(name));

/** Counts the calls in hand. */
const limits = new UseLimits();
let internal: InternalVault;
let stage: BrokerStage;
let hostile: RawDestination;
let elsewhere: Destination;
let react: Answer["react"];
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  elsewhere = await startDestination(internal);
  hostile = await startRawDestination(certificateOf("provider.example"), (socket, request) => {
    const probe = /^GET \/v1\/probe\?q=([a-z0-9-]+) /.exec(request)?.[1];
    if (probe) socket.write(ok(`answer to ${probe}`));
    else react(socket, value, elsewhere.origin);
  });
  stage = await startBrokerStage(internal, {
    exceptions: [hostile.exception, elsewhere.exception],
    changes: { limits, patience: { head: 1_500, idle: 1_500 } },
  });
});
afterAll(async () => {
  await stage?.stop();
  hostile?.close();
  await elsewhere?.down();
  await internal?.stop();
});

const policy = (): BrokerPolicy => stage.policy({ origin: hostile.origin });
const POST = { headers: [["Content-Type", "text/plain"]] as [string, string][], body: Buffer.from("hello") };

/** All that a caller gets of an answer. */
const shown = ({ head, body, failed }: UseResult) =>
  Buffer.concat([body, Buffer.from(JSON.stringify({ head, failed }))]);

describe("a caller gets a whole answer or none, and no credential", () => {
  test.each(
    answers.map((each, index) => ({ number: index + 1, ...each })),
  )("way $number: $way", async (each) => {
    react = each.react;
    const { method = "GET" } = each;
    const mine = { name: `c-${each.number}`, value, policy: policy() };
    const answer = await stage.use({ ...mine, method, path: "/v1/hostile", ...(method === "POST" && POST) });
    const found = formsIn(shown(answer), forms);
    const token = stage.token("org_acme", ["writer"], { sub: "next" });
    const probes = await Promise.all(
      [1, 2].map((index) => stage.use({ ...mine, token, path: `/v1/probe?q=p-${each.number}-${index}` })),
    );
    const isMixed = probes.some(
      ({ body }, index) => body.toString() !== `answer to p-${each.number}-${index + 1}`,
    );
    corpus.count(each.way, { accepted: found.length > 0, forwarded: isMixed || elsewhere.connections > 0 });
    expect(found).toEqual([]);
    expect(shown(answer).toString("latin1")).not.toMatch(/smuggled|[=:]t1\b/i);
    if ("failure" in each.expected) {
      expect(each.expected.failure, JSON.stringify(answer)).toContain(answer.failed?.failure);
      expect(answer.end).toBeUndefined();
    } else {
      const { status, body, headers = {} } = each.expected;
      expect(answer.head?.status, JSON.stringify(answer)).toBe(status);
      expect(answer.end).toBeDefined();
      if (body) expect(answer.body.toString()).toMatch(body);
      const got = new Map(answer.head?.headers.map(([name, text]) => [name.toLowerCase(), text]));
      for (const [name, pattern] of Object.entries(headers)) {
        if (pattern) expect(got.get(name), name).toMatch(pattern);
        else expect(got.has(name), name).toBe(false);
      }
    }
    expect(probes.map(({ body, failed }) => failed ?? body.toString())).toEqual([
      `answer to p-${each.number}-1`,
      `answer to p-${each.number}-2`,
    ]);
    expect(elsewhere.connections).toBe(0);
  });

  test("of these there are at least sixty, and none succeeded", () => {
    expect(corpus).toMatchObject({ tried: answers.length, accepted: [], forwarded: [] });
    expect(answers.length).toBeGreaterThanOrEqual(60);
    expect(new Set(answers.map(({ way }) => way)).size).toBe(answers.length);
  });
});

describe("an answer that comes unasked on a kept connection is nobody's", () => {
  const second = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
  /** Has the destination answer, keep its connection, and say something more on it. */
  async function kept(name: string) {
    let socket: TLSSocket | undefined;
    react = (connection) => {
      socket = connection;
      connection.write(ok("ok"));
    };
    const mine = { name, value, policy: policy() };
    expect((await stage.use({ ...mine, path: "/v1/first" })).body.toString()).toBe("ok");
    const closed = new Promise((resolve) => socket?.once("close", resolve));
    return { mine, say: (text: string) => socket?.write(text), closed };
  }

  test.each([
    ["whole", second],
    ["a part of one", second.slice(0, 20)],
    ["one byte", "H"],
    ["no HTTP", "x".repeat(100_000)],
  ])("while it is idle: %s", async (way, text) => {
    const { mine, say, closed } = await kept(`idle-${way.replaceAll(" ", "-").toLowerCase()}`);
    say(text);
    await closed;
    const next = await stage.use({ ...mine, path: "/v1/probe?q=next" });
    expect(next.body.toString()).toBe("answer to next");
  });

  test.each([
    "GET",
    "POST",
  ] as const)("while the next request, by %s, waits for its receipt", async (method) => {
    const { mine, say, closed } = await kept(`waiting-${method.toLowerCase()}`);
    react = (connection) => void connection.write(ok("answer to next"));
    const call = await stage.call({ ...mine, method, path: "/v1/next" });
    const request = stage.open();
    const answer = readAnswer(request);
    request.write(jsonFrame("call", call));
    await expect.poll(() => limits.size).toBe(1);
    say(second);
    await closed;
    request.end(jsonFrame("go", { receipt: stage.receipt(call) }));
    expect((await answer).body.toString()).toBe("answer to next");
  });

  test("before the next request's body has begun", async () => {
    const { mine, say, closed } = await kept("body");
    react = (connection) => void connection.write(ok("answer to next"));
    const call = await stage.call({ ...mine, ...POST, method: "POST", path: "/v1/next" });
    const request = stage.open();
    const answer = readAnswer(request);
    request.write(jsonFrame("call", call));
    request.write(jsonFrame("go", { receipt: stage.receipt(call) }));
    await expect.poll(() => limits.size).toBe(1);
    say(second);
    await closed;
    for (const piece of dataFrames(POST.body)) request.write(piece);
    request.end(jsonFrame("end", {}));
    const { body, failed } = await answer;
    expect(failed?.failure ?? body.toString()).toMatch(/^(answer_unusable|unreachable|answer to next)$/);
  });
});

test("no line of the broker's log has the credential", () => {
  expect(formsIn(stage.log.join("\n"), forms)).toEqual([]);
});
