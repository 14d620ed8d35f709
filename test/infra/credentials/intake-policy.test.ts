import { describe, expect, test } from "vitest";
import { KINDS, PURPOSES } from "../../../services/shared/work/kinds.ts";
import { malformed, type Principal } from "../iam.ts";
import { synthesize } from "../synthesized.ts";
import {
  AS_THEY_ARE,
  administrator,
  allRoles,
  BARE,
  BROAD,
  CREDENTIAL_ROLES,
  matrix,
  opens,
  RESOURCES_ALONE,
  TOGETHER,
  type View,
  WITHOUT_DENY,
} from "./matrix.ts";
import { type Cell, credentialCells } from "./requests.ts";
import { apart, FEED_ACCOUNT, WORKERS_ACCOUNT } from "./several-accounts.ts";

const { deployment } = synthesize();
const roles = allRoles(deployment);
const cells = credentialCells(deployment);
const there = allRoles(apart);
const cellsThere = credentialCells(apart);
const administrators = {
  administrator: administrator("123456789012"),
  "integration's administrator": administrator(WORKERS_ACCOUNT),
  "feed's administrator": administrator(FEED_ACCOUNT),
  stranger: administrator("999999999999"),
};

const credentialRoles = (of: Record<string, Principal>): Record<string, Principal> =>
  Object.fromEntries(CREDENTIAL_ROLES.map((name) => [name, of[name] as Principal]));
const section = (title: string, lines: string[]) => [`# ${title}`, "", ...lines, ""].join("\n");

/** What a role may do beside a broad Allow, by the resources' policies, that an administrator may not. */
const moreThan = (other: Principal) => (role: Principal, cell: Cell) =>
  opens(RESOURCES_ALONE, role, cell) && !opens(RESOURCES_ALONE, other, cell);

/** The roles that may do this in a view, in any way, sorted. */
const able = (view: View, does: string, on: string) =>
  Object.entries(roles)
    .filter(([, role]) =>
      cells.some((cell) => cell.does === does && cell.on === on && opens(view, role, cell)),
    )
    .map(([name]) => name)
    .toSorted();

describe("who may do what with credentials' keys, queues and table", () => {
  test("is what the golden matrix says, for every role", async () => {
    const sections = [
      section(
        "as deployed",
        matrix(roles, cells, (role, cell) => opens(TOGETHER, role, cell)),
      ),
      section(
        "refused by roles' own Deny statements, whatever else is attached to them",
        matrix(credentialRoles(roles), cells, (role, cell) => !opens(BROAD, role, cell)),
      ),
      section(
        "keys and queues alone: what roles have there that an administrator lacks",
        matrix(credentialRoles(roles), cells, moreThan(administrators.administrator)),
      ),
    ];
    await expect(sections.join("\n")).toMatchFileSnapshot("matrix.txt");
  });

  test("has two locks, of which each alone says the same", () => {
    const overTls = cells.filter(({ how }) => how !== "without TLS");
    for (const role of Object.values(credentialRoles(roles))) {
      for (const cell of overTls) {
        const expected = opens(TOGETHER, role, cell);
        for (const view of [AS_THEY_ARE, WITHOUT_DENY]) {
          expect({ role, cell, isOpen: opens(view, role, cell) }).toMatchObject({ isOpen: expected });
        }
      }
    }
    // Keys and queues open nothing to a role without a policy of its own.
    const bare = Object.values(roles).flatMap((role) => cells.filter((cell) => opens(BARE, role, cell)));
    expect(bare).toEqual([]);
  });

  test("opening is one worker's alone, whatever other policies say", () => {
    for (const purpose of PURPOSES) {
      const worker = `strongroom-worker-${purpose}`;
      const key = `${purpose} key`;
      for (const view of [TOGETHER, RESOURCES_ALONE]) expect(able(view, "Decrypt", key)).toEqual([worker]);
      for (const does of ["Encrypt", "ReEncryptFrom", "ReEncryptTo", "CreateGrant", "GenerateDataKeyPair"]) {
        expect(able(RESOURCES_ALONE, does, key)).toEqual([]);
      }
      expect(able(RESOURCES_ALONE, "GenerateDataKey", key)).toEqual(["strongroom-intake", worker]);
    }
  });

  test("jobs are sent by the intake, taken by their worker; results the other way; redriving apart", () => {
    for (const kind of KINDS) {
      const [worker, redrive] = [`strongroom-worker-${kind}`, `strongroom-redrive-${kind}`];
      expect(able(RESOURCES_ALONE, "SendMessage", `${kind}-jobs`)).toEqual(["strongroom-intake", redrive]);
      expect(able(RESOURCES_ALONE, "ReceiveMessage", `${kind}-jobs`)).toEqual([worker]);
      expect(able(RESOURCES_ALONE, "SendMessage", `${kind}-results`)).toEqual([worker]);
      expect(able(RESOURCES_ALONE, "ReceiveMessage", `${kind}-results`)).toEqual(["strongroom-intake"]);
      expect(able(RESOURCES_ALONE, "ReceiveMessage", `${kind}-jobs-dead`)).toEqual([redrive]);
    }
  });

  test("the worker of feeds uses no key at all, not even beside a broad Allow", () => {
    const worker = roles["strongroom-worker-feed"] as Principal;
    const keys = cells.filter(({ on }) => on.endsWith(" key"));
    expect(keys.length).toBeGreaterThan(100);
    for (const view of [TOGETHER, BROAD]) {
      expect(keys.filter((cell) => opens(view, worker, cell))).toEqual([]);
    }
  });

  test("is asked of policies and requests that AWS takes", async () => {
    for (const role of Object.values(credentialRoles(roles))) {
      const asked = new Map(cells.map((cell) => [`${cell.on} ${cell.does}`, cell.request]));
      for (const { keyPolicy: _, context: __, ...request } of asked.values()) {
        expect(await malformed(role, request), request.action).toBeUndefined();
      }
    }
  });
});

describe("with workers in accounts of their own", () => {
  test("is what its golden matrix says", async () => {
    const everybody = { ...there, ...administrators };
    const sections = [
      section(
        "as deployed",
        matrix(everybody, cellsThere, (role, cell) => opens(TOGETHER, role, cell)),
      ),
      section(
        "keys and queues alone: what roles have there that an administrator of the workers' account lacks",
        matrix(
          credentialRoles(there),
          cellsThere.filter(({ on }) => on.startsWith("integration")),
          moreThan(administrators["integration's administrator"]),
        ),
      ),
    ];
    await expect(sections.join("\n")).toMatchFileSnapshot("matrix-apart.txt");
  });

  test("an intake of yet another account, with the same name, uses nothing", () => {
    const intake = there["strongroom-intake"] as Principal;
    const stranger = { ...intake, arn: intake.arn.replace("123456789012", "999999999999") };
    const opened = (role: Principal) =>
      cellsThere
        .filter(({ on }) => !/table|elsewhere/.test(on))
        .filter((cell) => opens(RESOURCES_ALONE, role, cell));
    expect(opened(stranger)).toEqual([]);
    expect(opened(intake).length).toBeGreaterThan(20);
  });

  test("the image comes from the platform's repository, for their starting roles alone", () => {
    const repository = apart.resource("StrongroomNetwork", "AWS::ECR::Repository", "ServiceImages");
    const pull = {
      action: "ecr:BatchGetImage",
      resource: repository.arn,
      keyPolicy: repository.properties.RepositoryPolicyText,
    };
    const cell: Cell = { on: "image", does: "pull", how: "", request: pull };
    const pulling = Object.entries({ ...there, ...administrators })
      .filter(([, role]) => opens(TOGETHER, role, cell))
      .map(([name]) => name);
    expect(pulling.toSorted()).toEqual([
      "administrator",
      ...[
        "control-plane",
        "gateway",
        "intake",
        "operator",
        "worker-broker",
        "worker-feed",
        "worker-integration",
        "worker-webhook",
      ].map((name) => `strongroom-${name}-execution`),
    ]);
  });
});
