import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { forward } from "../../services/gateway/forward.ts";
import { Upstreams } from "../../services/gateway/upstreams.ts";
import { answerAsVault, type Recorder, startRecorder } from "../harness/recorder.ts";
import { type InternalVault, startInternalVault } from "../harness/vault.ts";

let internal: InternalVault;
let recorder: Recorder;
let upstreams: Upstreams;
beforeAll(async () => {
  internal = await startInternalVault(inject("vaultBinary"));
  recorder = await startRecorder(internal);
  upstreams = new Upstreams(internal.ca);
});
afterAll(async () => {
  await upstreams?.close();
  await recorder?.close();
  await internal?.stop();
});

test("a Vault that does not keep up gets so many requests and no more; the rest are told at once", async () => {
  const org = { id: recorder.org, issuer: "i", claim: "c", address: recorder.address };
  const upstream = upstreams.of(org, {
    version: 1,
    issuers: [],
    orgs: [org],
    find: () => org,
    byId: () => org,
  });
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
