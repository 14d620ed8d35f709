import type { BrokerPolicy } from "../../../../services/shared/broker/policy.ts";
import { newJobId } from "../../../harness/credential-jobs.ts";
import type { Loot, TakenOverIntake } from "../../../harness/taken-over-intake.ts";

/** A message on the broker's queue that must fail for this reason, with nothing sent to anyone. */
export interface QueueWay {
  way: string;
  failure: string | string[];
  message(thief: TakenOverIntake, rotating: Loot): Promise<Record<string, unknown>> | Record<string, unknown>;
}

/** The policy of a credential that rotates at its destination. */
export const rotatingPolicy = (policy: BrokerPolicy): BrokerPolicy => ({
  ...policy,
  rotation: {
    ...{ type: "rest", create: { method: "POST", path: "/v1/keys" }, key: "/key", id: "/id" },
    check: { method: "GET", path: "/v1/me" },
    revoke: { method: "DELETE", path: "/v1/keys/{id}" },
    currentId: "key-1",
  },
});

const rotate = (
  way: string,
  failure: QueueWay["failure"],
  changes: (thief: TakenOverIntake, of: Loot) => object,
): QueueWay => ({
  ...{ way: `rotate: ${way}`, failure },
  message: (thief, of) => ({
    ...base(thief),
    ...of,
    credential: of.name,
    name: undefined,
    type: "rotate",
    ...changes(thief, of),
  }),
});

const base = ({ stage }: TakenOverIntake) => ({
  ...{ job: newJobId(), org: stage.orgs.org_acme ?? "", attempt: 1 },
  notAfter: Math.floor(Date.now() / 1000) + 300,
});
const make = () => ({ phase: "make", once: newJobId(), lostSince: 1 });
const recipeOf = ({ policy }: Loot, changes: object) => ({
  policy: { ...policy, rotation: { ...policy.rotation, ...changes } },
});

/** Jobs need no member's token: what is sealed is all that limits them. */
export const queueWays: QueueWay[] = [
  rotate("another path of `create`", "not_openable", (_, of) => ({
    ...{ ...make(), ...recipeOf(of, { create: { method: "POST", path: "/echo" } }) },
  })),
  rotate("another place of the key", "not_openable", (_, of) => ({
    ...make(),
    ...recipeOf(of, { key: "/other" }),
  })),
  rotate("another `check`", "not_openable", (_, of) => ({
    ...{ phase: "check", pending: { envelope: "AAAA" } },
    ...recipeOf(of, { check: { method: "GET", path: "/echo" } }),
  })),
  rotate("another host", "not_openable", ({ elsewhere }, of) => ({
    ...{ ...make(), policy: { ...of.policy, origin: elsewhere.origin } },
  })),
  rotate("a database", "not_openable", ({ elsewhere }, of) => ({
    ...make(),
    policy: {
      ...of.policy,
      rotation: {
        ...{ type: "postgresql", host: new URL(elsewhere.origin).hostname, port: elsewhere.port },
        ...{ database: "d", role: "r" },
      },
    },
  })),
  rotate("a credential without a recipe", "policy_mismatch", ({ victim }) => ({
    ...{ ...make(), policy: victim.policy, material: victim.material, credential: victim.name },
  })),
  rotate("a credential by a recipe of the thief's", "not_openable", ({ victim }, of) => ({
    ...{ ...make(), material: victim.material, credential: victim.name, policy: of.policy },
  })),
  rotate("another organization's", "not_openable", ({ stage }) => ({
    ...make(),
    org: stage.orgs.org_globex,
  })),
  rotate("another version", "not_openable", () => ({ ...make(), version: 9 })),
  rotate("no phase", "malformed", () => ({})),
  rotate("a phase that is none", "malformed", () => ({ phase: "reveal" })),
  rotate("making without a number", "malformed", () => ({ phase: "make" })),
  rotate("checking without a value", "malformed", () => ({ phase: "check" })),
  rotate("checking a value that is none", "not_openable", () => ({
    phase: "check",
    pending: { envelope: "AAAA" },
  })),
  rotate("checking the current as the next", "not_openable", (_, of) => ({
    ...{ phase: "check", pending: of.material },
  })),
  rotate("applying", "policy_mismatch", (_, of) => ({ phase: "apply", pending: of.material })),
  rotate("revoking nothing", "malformed", () => ({ phase: "revoke" })),
  ...["..", ".", "../me", "a/../../me", "..;a", "%2e%2e", "a%2fb", "a\\b", "..%2f"].map((key) =>
    rotate(`revoking the key ${JSON.stringify(key)}`, "request_not_allowed", () => ({
      phase: "revoke",
      key,
    })),
  ),
  rotate("revoking with a line break", "malformed", () => ({ phase: "revoke", key: "a\r\nHost: b" })),
  rotate("a job whose time is over", "expired", () => ({ ...make(), notAfter: 1 })),
  rotate("a member more", "malformed", () => ({ ...make(), more: 1 })),
  rotate("with the value sealed to the thief", "malformed", () => ({ ...make(), sealResultTo: "BAAA" })),
  {
    ...{ way: "rewrap: under another policy", failure: "not_openable" },
    message: (thief, of) => ({
      ...{ ...base(thief), type: "rewrap", credential: of.name, version: of.version, material: of.material },
      policy: thief.victim.policy,
    }),
  },
  {
    ...{ way: "rewrap: of another organization's", failure: "not_openable" },
    message: (thief, { name, version, policy }) => ({
      ...{
        ...base(thief),
        type: "rewrap",
        credential: name,
        version,
        policy,
        material: thief.foreign.material,
      },
    }),
  },
  {
    ...{ way: "a job of the kind integration", failure: "malformed" },
    message: (thief, { name, version, policy, material }) => ({
      ...{ ...base(thief), type: "request", credential: name, version, policy, material, request: "AAAA" },
    }),
  },
  {
    ...{ way: "a use", failure: "malformed" },
    message: (thief, { name, version, policy, material }) => ({
      ...{ ...base(thief), type: "use", credential: name, version, policy, material },
    }),
  },
];
