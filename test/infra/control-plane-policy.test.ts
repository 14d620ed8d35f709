import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { DENIED, NEEDED, NOT_ALLOWED } from "./control-plane-battery.ts";
import { isAllowed, malformed, type PolicyDocument, type Request, roleOf } from "./iam.ts";
import { mutantsOf } from "./mutants.ts";
import { synthesize } from "./synthesized.ts";

const controlPlane = roleOf(synthesize().deployment, "strongroom-control-plane");
const [document] = controlPlane.policies as [PolicyDocument];

const broad = (policy: PolicyDocument): PolicyDocument => ({
  ...policy,
  Statement: [...policy.Statement, { Effect: "Allow", Action: "*", Resource: "*" }],
});

/** What is wrong with a policy of the control plane's, one line each. */
function* faults(policy: PolicyDocument): Generator<string> {
  const as = (policies: PolicyDocument[]) => ({ ...controlPlane, policies });
  const line = ({ action, resource, context }: Request) =>
    `${action} ${resource} ${JSON.stringify(context ?? {})}`;
  if (policy.Version !== "2012-10-17") yield `no variable is filled in in a policy of ${policy.Version}`;
  for (const request of NEEDED) if (!isAllowed(as([policy]), request)) yield `needed: ${line(request)}`;
  for (const request of [...DENIED, ...NOT_ALLOWED]) {
    if (isAllowed(as([policy]), request)) yield `allowed: ${line(request)}`;
  }
  for (const request of DENIED) {
    if (isAllowed(as([broad(policy)]), request)) yield `allowed beside a broad Allow: ${line(request)}`;
  }
}

describe("the control plane's role", () => {
  test("may do all that its work takes, none of what gives it more, and can never read what it wrote", () => {
    expect([...faults(document)]).toEqual([]);
  });

  test("is asked for what AWS knows: an action that does not exist would be denied, and prove nothing", async () => {
    for (const { keyPolicy, ...request } of [...NEEDED, ...DENIED, ...NOT_ALLOWED]) {
      expect(await malformed(controlPlane, request), request.action).toBeUndefined();
    }
    const typos = [
      { action: "ssm:ReadParameter", resource: NEEDED[0]?.resource ?? "" },
      { action: "ssm:GetParameter", resource: "arn:aws:s3:::bucket" },
    ];
    for (const typo of typos) expect(await malformed(controlPlane, typo), typo.action).toBeDefined();
  });

  describe("a mistake in one place of its policy is found:", () => {
    test.each(
      mutantsOf(document).map((mutant) => [mutant.what, mutant.document] as const),
    )("%s", (_, mutant) => {
      expect(faults(mutant).next().value).toBeDefined();
    });
  });
});

describe("the code of the control plane", () => {
  const services = fileURLToPath(new URL("../../services", import.meta.url));
  const sources = ["control-plane", "shared/parameters"].flatMap((folder) =>
    readdirSync(join(services, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => ({ folder, text: readFileSync(join(services, folder, file), "utf8") })),
  );

  test("reads no parameter back", () => {
    const own = sources.filter(({ folder }) => folder === "control-plane").map(({ text }) => text);
    expect(own.some((text) => /\bparameters\.put\(/.test(text))).toBe(true);
    expect(own.filter((text) => /\bparameters\??\.(get|list)\b/.test(text))).toEqual([]);
  });

  test("calls nothing of AWS's that its role may not", () => {
    const prefixes: Record<string, string> = {
      "cloudwatch-logs": "logs",
      "service-quotas": "servicequotas",
    };
    const calls = sources.flatMap(({ text }) => {
      const client = /from "@aws-sdk\/client-([a-z0-9-]+)"/.exec(text)?.[1];
      const found = [...text.matchAll(/new ([A-Z][A-Za-z]+)Command\(/g)].map((match) => match[1]);
      return client ? found.map((name) => `${prefixes[client] ?? client}:${name}`) : [];
    });
    expect(calls).toContain("ssm:PutParameter");
    const needed = new Set(NEEDED.map(({ action }) => action));
    const unneeded = calls.filter((call) => !needed.has(call));
    // The parameter store's own way to read, for the agent of a machine.
    expect(new Set(unneeded)).toEqual(new Set(["ssm:GetParameter", "ssm:GetParametersByPath"]));
  });
});
