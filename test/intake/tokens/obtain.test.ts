import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { putCredential, setDisabled } from "../../../services/intake/credentials/credentials.ts";
import { loadUsable } from "../../../services/intake/credentials/load.ts";
import type { Intake } from "../../../services/intake/dependencies.ts";
import type { UseMember } from "../../../services/intake/http/caller.ts";
import { createReceipts, type ReceiptWriter } from "../../../services/intake/receipts/receipts.ts";
import { sqliteStore } from "../../../services/intake/store/sqlite.ts";
import { type Store, StoreUnavailableError } from "../../../services/intake/store/store.ts";
import { readGrantState } from "../../../services/intake/tokens/grant-state.ts";
import { withGrantLease } from "../../../services/intake/tokens/lease.ts";
import { issueToken, obtainToken, type TokenParts } from "../../../services/intake/tokens/obtain.ts";
import type { Grant } from "../../../services/shared/broker/grant.ts";
import { brokerPolicyHash } from "../../../services/shared/broker/policy.ts";
import type { TokenAnswer, TokenCall } from "../../../services/shared/broker/tokens.ts";
import type { Identity } from "../../../services/shared/front/identity/authenticator.ts";
import { type Issuer, newOrgId } from "../../../services/shared/org.ts";
import { Secret } from "../../../services/shared/secret.ts";
import { answerToken } from "../../../services/worker/broker/token/operation.ts";
import { Tokens } from "../../../services/worker/broker/token/tokens.ts";
import { UseFailure } from "../../../services/worker/broker/use-failure.ts";
import { openCredential } from "../../../services/worker/open-credential.ts";
import { exchangeTo, policyOf, who } from "../../harness/granted-credential.ts";
import { memoryKeyProvider } from "../../harness/key-provider.ts";
import { CLIENT, type OAuthProvider, startOAuthProvider } from "../../harness/oauth-provider.ts";

const NAME = "provider";
const ISSUER = "https://idp.example.test";
const SCOPES = ["read", "write", "offline_access"];
const keys = memoryKeyProvider("memory:broker");
let provider: OAuthProvider;
let folder: string;
let org: string;
/** The time of intakes and brokers. */
let time: number;
const lines: string[] = [];
const log = pino({ level: "trace" }, { write: (line) => void lines.push(line) });

interface Half {
  intake: Intake;
  parts: TokenParts;
  tokens: Tokens;
  receipts: ReceiptWriter;
  /** Called with each answer of the broker before the intake has it. */
  onAnswer: ((answer: TokenAnswer) => Promise<void>) | undefined;
}
const halves: Half[] = [];

/** An intake and a broker of its own, on the store that all share. */
async function startHalf(change: (store: Store) => Store = (store) => store): Promise<Half> {
  const store = change(await sqliteStore(join(folder, "store.sqlite"), { now: () => time }));
  const intake = {
    ...{ store, log, now: () => time, destinationPorts: new Set([443, provider.port]) },
    keys: { broker: keys },
  } as unknown as Intake;
  const tokens = new Tokens(keys, exchangeTo([provider]), () => time);
  const receipts = createReceipts(intake);
  const askToken = async (call: TokenCall) => {
    try {
      const answer = await answerToken(tokens, call, verified(), () => {});
      await half.onAnswer?.(answer);
      return answer;
    } catch (error) {
      if (!(error instanceof UseFailure)) throw error;
      return { failed: { failure: error.failure, detail: error.message, isSent: true, ...error.parts } };
    }
  };
  const half: Half = {
    ...{ intake, tokens, receipts, onAnswer: undefined, parts: { intake, receipts, askToken } },
  };
  halves.push(half);
  return half;
}

const verified = () => ({ org, issuer: ISSUER, subject: "app", level: "writer" as const, groups: [] });
const caller = (): UseMember => ({
  ...{ org, level: "writer" },
  identity: {
    ...{ token: new Secret("the-callers-jwt"), subject: "app", groups: [] },
    issuer: { issuer: ISSUER } as Issuer,
  } as unknown as Identity,
});
const refreshGrant = (): Grant => ({
  ...{ type: "refresh_token", endpoint: `${provider.origin}/token`, clientId: CLIENT.id },
  ...{ clientAuth: "basic", scopes: SCOPES, who, lifetimeSeconds: 3600 },
});
const destination = () => ({
  ...policyOf(refreshGrant()),
  rules: [{ id: "all", methods: ["GET" as const], paths: ["/**"], who: { level: "reader" as const } }],
});
const wish = (asked = {}) => ({ credential: NAME, asked });

async function putRefreshToken({ intake }: Half): Promise<string> {
  const refreshToken = await provider.newRefreshToken(SCOPES);
  const value = JSON.stringify({ refreshToken, clientSecret: CLIENT.secret });
  await putCredential(intake, org, NAME, { purpose: "broker", destination: destination(), value }, {});
  return refreshToken;
}

/** The refresh token that is stored, and its version. */
async function stored({ intake }: Half): Promise<{ version: number; refreshToken: string }> {
  const usable = await loadUsable(intake.store, org, NAME);
  if (usable?.record.purpose !== "broker") throw new Error("no credential");
  const { version, destination: policy } = usable.record;
  const context = {
    ...{ org, credential: NAME, version: String(version), purpose: "broker" as const },
    policy: brokerPolicyHash(policy),
  };
  const bytes = await openCredential(keys, context, usable.material);
  return { version, ...JSON.parse(Buffer.from(bytes).toString()) };
}

const isNewest = async (refreshToken: string): Promise<boolean> => {
  const found = await provider.provider.RefreshToken.find(refreshToken);
  return found !== undefined && !found.consumed;
};

beforeAll(async () => {
  provider = await startOAuthProvider();
});
afterAll(() => provider.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "strongroom-tokens-"));
  org = newOrgId();
  time = Date.now();
  lines.length = 0;
});
afterEach(async () => {
  for (const { intake, tokens, receipts } of halves.splice(0)) {
    await receipts.stop();
    tokens.close();
    await intake.store.close();
  }
  await rm(folder, { recursive: true });
});

describe("two intakes and two brokers", () => {
  test("refresh at once, 50 times: the grant is never lost, and each stored value is the newest", async () => {
    const pair = [await startHalf(), await startHalf()] as const;
    await putRefreshToken(pair[0]);
    const before = provider.refreshed;
    for (let round = 1; round <= 50; round++) {
      const asked = pair.flatMap(({ parts }) => [
        issueToken(parts, caller(), wish()),
        issueToken(parts, caller(), wish({ scopes: ["read"] })),
        obtainToken(parts, caller(), NAME),
      ]);
      const answers = await Promise.all(asked);
      for (const answer of answers) {
        if (!answer) continue;
        if (answer.state !== "issued") throw new Error("no token");
        expect(await provider.provider.AccessToken.find(answer.token)).toBeDefined();
      }
      const { version, refreshToken } = await stored(pair[0]);
      expect(version).toBe(provider.refreshed - before + 1);
      expect(await isNewest(refreshToken)).toBe(true);
      time += 3_600_000; // what the brokers hold has expired
    }
    // Each broker asks once for each of the two tokens.
    expect(provider.refreshed - before).toBe(200);
    expect(lines.join("")).not.toMatch(/the-callers-jwt|client-secret/);
  }, 120_000);
});

describe("an intake", () => {
  test("returns a token that the broker holds without a lease, and tells when the grant was refreshed", async () => {
    const half = await startHalf();
    await putRefreshToken(half);
    const first = await issueToken(half.parts, caller(), wish());
    const { refreshed } = provider;
    await withGrantLease(half.intake, org, NAME, async () => {
      expect(await issueToken(half.parts, caller(), wish())).toMatchObject({
        ...{ token: first.state === "issued" && first.token, scopes: SCOPES },
      });
    });
    expect(provider.refreshed).toBe(refreshed);
    const state = await readGrantState(half.intake.store, org, { name: NAME, version: 2 });
    expect(state).toEqual({ version: 2, refreshedAt: new Date(time).toISOString() });
  });

  test("that ends before it has stored the new value loses nothing", async () => {
    let fails = true;
    const half = await startHalf((store) => ({
      ...store,
      get: (key) => store.get(key),
      query: (partition, range) => store.query(partition, range),
      async write(writes) {
        if (fails && writes.some(({ partition }) => partition.endsWith("/materials"))) {
          throw new StoreUnavailableError("ended");
        }
        return await store.write(writes);
      },
    }));
    fails = false;
    const old = await putRefreshToken(half);
    fails = true;
    const { asked } = provider;
    await expect(issueToken(half.parts, caller(), wish())).rejects.toThrow("ended");
    expect(await stored(half)).toMatchObject({ version: 1, refreshToken: old });
    fails = false;
    await issueToken(half.parts, caller(), wish());
    const { version, refreshToken } = await stored(half);
    expect(version).toBe(2);
    expect(await isNewest(refreshToken)).toBe(true);
    expect(provider.asked).toBe(asked + 1);
  });

  test("waits for a lease for a bounded time, and takes one whose owner has ended", async () => {
    const half = await startHalf();
    await putRefreshToken(half);
    const expiresAt = Math.floor(time / 1000) + 60;
    const lease = { partition: `org/${org}/grant-leases`, sort: NAME, body: { owner: "x" }, expiresAt };
    await half.intake.store.write([lease]);
    await expect(issueToken(half.parts, caller(), wish())).rejects.toMatchObject({
      code: "destination_timeout",
    });
    time += 61_000;
    expect(await issueToken(half.parts, caller(), wish())).toMatchObject({ state: "issued" });
    expect(await half.intake.store.get(lease)).toBeUndefined();
  });

  test("drops a new value if a member has put another meanwhile, and uses that", async () => {
    const half = await startHalf();
    await putRefreshToken(half);
    let puts = 0;
    half.onAnswer = async ({ state }) => {
      if (state === "replaced" && puts++ === 0) await putRefreshToken(half);
    };
    await issueToken(half.parts, caller(), wish());
    const { version, refreshToken } = await stored(half);
    expect(version).toBe(3); // the member's is 2
    expect(await isNewest(refreshToken)).toBe(true);
  });

  test("keeps a new value if the credential was disabled meanwhile, and refuses the token", async () => {
    const half = await startHalf();
    await putRefreshToken(half);
    half.onAnswer = async ({ state }) => {
      if (state === "replaced") await setDisabled(half.intake, org, NAME, true);
    };
    await expect(issueToken(half.parts, caller(), wish())).rejects.toMatchObject({
      code: "credential_disabled",
    });
    const { version, refreshToken } = await stored(half);
    expect(version).toBe(2);
    expect(await isNewest(refreshToken)).toBe(true);
  });

  test("asks the provider no more once it has lost the grant, until a new value is put", async () => {
    const half = await startHalf();
    const refreshToken = await putRefreshToken(half);
    const found = await provider.provider.RefreshToken.find(refreshToken);
    await found?.destroy();
    const { asked } = provider;
    const results = await Promise.allSettled(
      Array.from({ length: 5 }, () => issueToken(half.parts, caller(), wish())),
    );
    for (const result of results) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "grant_lost", status: 409 } });
    }
    await expect(obtainToken(half.parts, caller(), NAME)).rejects.toMatchObject({ code: "grant_lost" });
    expect(provider.asked).toBe(asked + 1);
    await putRefreshToken(half);
    expect(await issueToken(half.parts, caller(), wish())).toMatchObject({ state: "issued" });
  });

  test("refuses what the policy does not allow, with the part, before anything is written or sent", async () => {
    const half = await startHalf();
    await putRefreshToken(half);
    const { asked } = provider;
    const refusal = (by: Partial<UseMember>, what = {}) =>
      issueToken(half.parts, { ...caller(), ...by }, wish(what)).then(
        () => undefined,
        ({ code, errors }) => [code, errors?.[0].pointer],
      );
    expect(await refusal({ level: "reader" })).toEqual(["use_not_allowed", "/body/who"]);
    expect(await refusal({}, { scopes: ["admin"] })).toEqual(["use_not_allowed", "/body/scopes"]);
    expect(await refusal({}, { permissions: { contents: "read" } })).toEqual([
      ...["use_not_allowed", "/body/permissions"],
    ]);
    expect(await refusal({ org: newOrgId() })).toEqual(["not_found", undefined]);
    await setDisabled(half.intake, org, NAME, true);
    expect(await refusal({})).toEqual(["credential_disabled", undefined]);
    expect(provider.asked).toBe(asked);
    expect(await half.intake.store.query(`org/${org}/receipts`)).toEqual([]);
  });

  test("writes an intent before the broker is asked, and completes it in each case", async () => {
    const half = await startHalf();
    await putRefreshToken(half);
    const begun: unknown[] = [];
    const completed: unknown[] = [];
    const receipts: TokenParts["receipts"] = {
      async begin(to, intent) {
        begun.push(intent);
        return await half.receipts.begin(to, intent);
      },
      async complete(to, of, completion) {
        completed.push([of.entry.id, completion.outcome, completion.failure]);
        await half.receipts.complete(to, of, completion);
      },
    };
    const asked: string[] = [];
    const parts = {
      ...{ ...half.parts, receipts },
      async askToken(call: TokenCall) {
        expect(call.receipt.entry).toMatchObject(begun.at(-1) as object);
        asked.push(call.id);
        return await half.parts.askToken(call);
      },
    };
    const { receipt } = await issueToken(parts, caller(), wish());
    expect(begun).toMatchObject([
      { action: "token", version: 1, host: new URL(provider.origin).host, scopes: SCOPES },
      { action: "token", version: 1 },
      { action: "token", version: 2, by: { issuer: ISSUER, subject: "app" } },
    ]);
    expect(asked.at(-1)).toBe(receipt);
    expect(completed).toEqual([
      [asked[0], "failed", "token_needed"],
      [asked[1], "answered", undefined],
      [asked[2], "answered", undefined],
    ]);
    const away = { ...parts, askToken: () => Promise.reject(new Error("away")) };
    await expect(issueToken(away, caller(), wish())).rejects.toThrow("away");
    expect(completed.at(-1)).toEqual([expect.any(String), "unknown", "broker_unavailable"]);
  });

  test("sends nothing if no receipt can be written", async () => {
    const half = await startHalf();
    await putRefreshToken(half);
    const { asked } = provider;
    const receipts = { ...half.receipts, begin: () => Promise.reject(new Error("no receipt")) };
    await expect(issueToken({ ...half.parts, receipts }, caller(), wish())).rejects.toThrow("no receipt");
    expect(provider.asked).toBe(asked);
  });
});
