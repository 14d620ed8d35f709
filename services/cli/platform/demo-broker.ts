import { randomBytes } from "node:crypto";
import type { BrokerPolicy } from "../../shared/broker/policy.ts";
import type { Problem } from "../../shared/http/problem.ts";
import { readCheckpointKeys } from "../../shared/receipts/checkpoint-keys.ts";
import { readLines } from "../../shared/receipts/export.ts";
import { Secret } from "../../shared/secret.ts";
import { Failure } from "../failure.ts";
import { mintTenantToken } from "../identity-provider.ts";
import { Intake } from "../intake-client.ts";
import type { Output } from "../output.ts";
import { verifyReceipts } from "../receipts/verify.ts";
import { waitFor } from "../wait.ts";
import type { PlatformFile } from "./state-folder.ts";

const NAME = "provider-admin";
const FIRST_KEY = "first";
const WITHIN_MS = 60_000;
/** Long enough for a request in hand to end with the old key. */
const GRACE_SECONDS = 2;

/**
 * Demonstrates the broker: a provider's one privileged key, which acme's app team uses at once by what its rules allow and
 * never holds; which is replaced while it is used; and the receipts of all that.
 */
export async function demoBroker(out: Output, platform: PlatformFile): Promise<void> {
  const { demoProvider: origin } = platform;
  if (!origin) return;
  const token = (...groups: string[]) =>
    mintTenantToken(platform.identityProvider, { org: "org_acme", groups });
  const admin = new Intake(platform.intake, () => token("admin"));
  const writer = await token("writer");
  const call = (method: string, path: string) => useCredential(platform.intake, writer, method, path);

  out.note();
  out.note(
    "A provider has one key, which may do everything. acme's admin gives it to the broker, with two rules:",
  );
  const key = new Secret(`sk_${FIRST_KEY}_${randomBytes(18).toString("base64url")}`);
  await admin.putCredential(NAME, { purpose: "broker", value: key.reveal(), destination: policyFor(origin) });
  out.note("  read-account: writers, GET /v1/me and /v1/echo    make-charges: writers, POST /v1/charges");
  out.note("An app team calls the provider through Strongroom, with its own token:");
  show(out, await call("GET", "/v1/me"));
  out.note("The provider repeats the key. It does not come back:");
  show(out, await call("GET", "/v1/echo"));
  out.note("The key could make others. No rule allows that, so nothing is sent:");
  show(out, await call("POST", "/v1/keys"));

  out.note(
    "Someone who can rotate keys, and neither read nor use them, has it replaced while the team works on:",
  );
  await admin.putRotation(NAME, { graceSeconds: GRACE_SECONDS });
  const operator = new Intake(platform.intake, () => token("rotation-operator"));
  const rotated = await rotateWhile(out, operator, () => call("GET", "/v1/me"));
  out.note(
    `  ${rotated.calls} calls meanwhile, ${rotated.failed} failed; keys used: ${[...rotated.keys].join(", then ")}`,
  );
  out.note("Each of these left a receipt before it was sent. An auditor verifies their chain:");
  out.note(`  ${await verify(out, new Intake(platform.intake, () => token("auditor")))}`);
}

/** Two rules, and how the provider changes its key. */
const policyFor = (origin: string): BrokerPolicy => ({
  origin,
  inject: { header: "Authorization", format: "Bearer {}" },
  rules: [
    { id: "read-account", methods: ["GET"], paths: ["/v1/me", "/v1/echo"], who: { level: "writer" } },
    { id: "make-charges", methods: ["POST"], paths: ["/v1/charges"], who: { level: "writer" } },
  ],
  rotation: {
    type: "rest",
    create: { method: "POST", path: "/v1/keys", body: "{}" },
    ...{ key: "/key", id: "/id", currentId: FIRST_KEY },
    check: { method: "GET", path: "/v1/me" },
    revoke: { method: "DELETE", path: "/v1/keys/{id}" },
  },
});

interface Answer {
  request: string;
  status: number;
  text: string;
  receipt: string | null;
}

async function useCredential(intake: string, token: Secret, method: string, path: string): Promise<Answer> {
  const url = `/v1/use/${NAME}${path}`;
  const response = await fetch(`${intake}${url}`, {
    method,
    headers: { authorization: `Bearer ${token.reveal()}` },
    signal: AbortSignal.timeout(WITHIN_MS),
  });
  const receipt = response.headers.get("strongroom-receipt");
  const text = await response.text();
  return { request: `${method} ${url}`, status: response.status, text: summaryOf(text), receipt };
}

/** An answer in one line; of a problem document, what it says. */
function summaryOf(text: string): string {
  const { code, errors = [] } = JSON.parse(text) as Partial<Problem>;
  return code === undefined ? text : `${code}: ${errors.map(({ message }) => message).join("; ")}`;
}

function show(out: Output, { request, status, text, receipt }: Answer): void {
  const colour = status < 400 ? "green" : "yellow";
  const left = receipt === null ? "" : `  (receipt ${receipt})`;
  out.note(`  ${request}  ${out.style(colour, String(status))}  ${text}${left}`);
}

interface Meanwhile {
  calls: number;
  failed: number;
  /** The ids of the keys that the provider saw, in order. */
  keys: Set<string>;
}

/** Starts a rotation as this member, and goes on calling until it has ended. Failure if it fails. */
async function rotateWhile(out: Output, operator: Intake, call: () => Promise<Answer>): Promise<Meanwhile> {
  const seen: Meanwhile = { calls: 0, failed: 0, keys: new Set() };
  let isOver = false;
  const calling = (async () => {
    while (!isOver) {
      const { status, text } = await call();
      seen.calls++;
      if (status === 200) seen.keys.add((JSON.parse(text) as { key: string }).key);
      else seen.failed++;
    }
  })();
  // Its error is thrown at the end.
  calling.catch(() => {});
  try {
    const { id } = await operator.startRotation(NAME);
    const ended = await waitFor(out, "Rotating", () => operator.rotationRun(NAME, id), {
      done: ({ state }) => state !== "running",
      doing: ({ phase }) => phase,
      withinMs: WITHIN_MS,
      hint: "Is the broker running? Run: strongroom status",
    });
    if (ended.failure) throw new Failure("failure", `The rotation failed: ${ended.failure.detail}`);
  } finally {
    isOver = true;
    await calling;
  }
  return seen;
}

/** Verifies the chain as `strongroom receipts verify` does, once each use has been completed. */
async function verify(out: Output, auditor: Intake): Promise<string> {
  const keys = readCheckpointKeys(JSON.stringify(await auditor.receiptKeys()));
  const whole = async () => verifyReceipts(readLines(await auditor.exportReceipts()), { keys });
  const { intents, completions, end, unsigned } = await waitFor(out, "Verifying", whole, {
    done: ({ open }) => open === 0,
    doing: ({ open }) => `${open} in hand`,
    withinMs: WITHIN_MS,
    hint: "Read the log: strongroom logs --service intake",
  });
  const signed = unsigned > 0 ? "; signed within a minute" : "";
  return `${end.sequence} entries, none changed or missing: ${intents} intents, ${completions} completions${signed}`;
}
