import { afterAll, describe, expect, onTestFinished, vi } from "vitest";
import { forward } from "../../../services/gateway/upstream/forward.ts";
import { Upstreams } from "../../../services/gateway/upstream/upstreams.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { test } from "../../harness/fixtures.ts";
import { answerAsVault, type Recorder } from "../../harness/recorder.ts";

let recorder: Recorder;
let upstreams: Upstreams;
test.beforeAll(({ recordedOrg }) => {
  recorder = recordedOrg.recorder;
  upstreams = new Upstreams(recordedOrg.internal.ca);
});
afterAll(() => upstreams?.close());

const org = () => ({ id: recorder.org, issuer: "i", claim: "c", address: recorder.address });
const upstreamOf = (entry = org()) =>
  upstreams.of(entry, { version: 1, issuers: [], orgs: [entry], find: () => entry, byId: () => entry });

describe("a 403", () => {
  /** How a request ends whose answer, a 403, takes so long. */
  async function endOf(afterMs: number, token?: Secret): Promise<string> {
    const clock = vi.spyOn(performance, "now");
    onTestFinished(() => clock.mockRestore());
    recorder.answer = (_request, response) => {
      const late = performance.now() + afterMs;
      clock.mockImplementation(() => late);
      response.writeHead(403).end("{}");
    };
    const request = { method: "GET", path: "/v1/secret/data/a", requestId: "r", token };
    const handler = { onResponseStart() {}, onResponseData() {}, onResponseEnd() {} };
    return forward(upstreamOf(), request, handler).then(
      () => "answered",
      (error) => `${error.code} ${error.status}`,
    );
  }

  test("while the token is certainly valid is the Vault's answer", async () => {
    expect(await endOf(3_900, new Secret("t"))).toBe("answered");
  });

  test("after that may be due to an expired token: 503", async () => {
    expect(await endOf(4_100, new Secret("t"))).toBe("org_vault_unavailable 503");
  });

  test("without a token is the Vault's answer, however late", async () => {
    expect(await endOf(4_100)).toBe("answered");
  });
});

test("an overloaded Vault gets a bounded number of requests; further ones fail at once", async () => {
  const upstream = upstreamOf();
  const waiting: (() => void)[] = [];
  recorder.answer = (request, response) => waiting.push(() => answerAsVault(request, response));
  let open = true;
  const sent = Array.from({ length: 600 }, () =>
    forward(
      upstream,
      { method: "GET", path: "/v1/secret/data/a", requestId: "r" },
      { onResponseStart() {}, onResponseData() {}, onResponseEnd() {} },
    ).then(
      () => "answered",
      (error) => {
        expect(open).toBe(true);
        return error.code as string;
      },
    ),
  );
  await expect.poll(() => waiting.length).toBe(32);
  expect(upstream.pending).toBe(512);
  open = false;
  const answering = setInterval(() => {
    for (const answer of waiting.splice(0)) answer();
  }, 1);
  const outcomes = await Promise.all(sent);
  clearInterval(answering);
  expect(outcomes.filter((outcome) => outcome === "answered")).toHaveLength(512);
  expect(outcomes.filter((outcome) => outcome === "org_vault_unavailable")).toHaveLength(88);
  expect(upstream.pending).toBe(0);
});
