import { type BrokerPolicy, brokerPolicyHash } from "../../services/shared/broker/policy.ts";
import { open, seal } from "../../services/shared/envelope/envelope.ts";
import { newOrgId } from "../../services/shared/org.ts";
import type { Outcome, RotateMessage } from "../../services/shared/work/messages.ts";
import { createDialPostgresql } from "../../services/worker/outbound/dial-postgresql.ts";
import { createExchange, type Outside } from "../../services/worker/outbound/exchange.ts";
import { rotate } from "../../services/worker/rotation/rotate.ts";
import { newJobId } from "./credential-jobs.ts";
import { memoryKeyProvider } from "./key-provider.ts";

type Rotated = Extract<Outcome, { state: "rotated" }>;

/** A worker's side of rotations of one credential, with keys in memory. */
export function rotationJobs(policy: BrokerPolicy, outside: Outside) {
  const keys = memoryKeyProvider("broker");
  const parts = { keys, exchange: createExchange(outside), dialPostgresql: createDialPostgresql(outside) };
  const org = newOrgId();
  const context = (version: number) => ({
    ...{ org, credential: "admin", version: String(version), purpose: "broker" as const },
    policy: brokerPolicyHash(policy),
  });
  const material = async (value: string, version = 1) => {
    const envelope = await seal(keys, context(version), new TextEncoder().encode(value));
    return { envelope: Buffer.from(envelope).toString("base64") };
  };
  return {
    keys,
    material,
    /** The value in an envelope for a version. */
    async opened(envelope: string | undefined, version = 2): Promise<string> {
      const bytes = await open(keys, context(version), Buffer.from(envelope ?? "", "base64"));
      return Buffer.from(bytes).toString("utf8");
    },
    /** Does a phase with the current value. Throws JobFailure. */
    async phase(
      phase: RotateMessage["phase"],
      current: string,
      more: Partial<RotateMessage> = {},
    ): Promise<Rotated> {
      const message: RotateMessage = {
        ...{
          type: "rotate",
          phase,
          job: newJobId(),
          org,
          attempt: 1,
          credential: "admin",
          version: 1,
          policy,
        },
        ...{ notAfter: Math.floor(Date.now() / 1000) + 300, material: await material(current) },
        ...(phase === "make" && { once: newJobId(), lostSince: Math.floor(Date.now() / 1000) }),
        ...more,
      };
      const run = { signal: new AbortController().signal, reached: () => {} };
      return (await rotate(parts, message, run)) as Rotated;
    },
  };
}
