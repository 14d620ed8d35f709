import type { UseCall } from "../../services/shared/broker/calls.ts";
import { jsonFrame } from "../../services/shared/broker/frames.ts";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import { seal } from "../../services/shared/envelope/envelope.ts";
import type { Material } from "../../services/shared/work/messages.ts";
import { type BrokerStage, readAnswer, startBrokerStage, type UseResult } from "./broker.ts";
import { newCanary } from "./canary.ts";
import { keysOf } from "./credential-jobs.ts";
import { type Destination, startDestination } from "./destination.ts";
import type { InternalVault } from "./vault.ts";

/** A credential as the store has it, for what it was sealed. */
export interface Loot {
  name: string;
  version: number;
  policy: BrokerPolicy;
  material: Material;
}

/** Hostile code in the intake's place, with its certificate, login and store, at a real broker. */
export interface TakenOverIntake {
  stage: BrokerStage;
  /** Another host to which the broker may connect. */
  elsewhere: Destination;
  /** The newest version of a credential of `org_acme`, for writers at `/v1/**`. */
  victim: Loot;
  /** The version before, for more. */
  older: Loot;
  /** Of `org_globex`, of the same name and for the same policy. */
  foreign: Loot;
  /** Of `org_acme`, with a grant at the destination's own endpoint. */
  granted: Loot;
  /** The values, which the thief has not. */
  values: string[];
  /** Sealed by the intake's login for another purpose, in all else the victim. */
  sealedFor(purpose: "integration" | "webhook"): Promise<Material>;
  /** Sends frames as they are, and reads the answer. */
  frames(...frames: Uint8Array[]): Promise<UseResult>;
  /** The victim's call and its receipt, both right. */
  call(changes?: object): Promise<UseCall>;
  stop(): Promise<void>;
}

export async function takeOverIntakeOfBroker(internal: InternalVault): Promise<TakenOverIntake> {
  const elsewhere = await startDestination(internal);
  const patience = { head: 2_000, idle: 2_000 };
  const stage = await startBrokerStage(internal, {
    exceptions: [elsewhere.exception],
    changes: { patience },
  });
  const policy = stage.policy();
  const values: string[] = [];
  const loot = async (of: Partial<Loot> & { org?: string } = {}): Promise<Loot> => {
    const { name = "stripe", version = 2, org = stage.orgs.org_acme ?? "" } = of;
    const sealedPolicy = of.policy ?? policy;
    const value = newCanary();
    values.push(value);
    return {
      ...{ name, version, policy: sealedPolicy },
      material: await stage.seal(value, sealedPolicy, { org, name, version }),
    };
  };
  const [rule] = policy.rules;
  if (!rule) throw new Error("the policy has no rule");
  const victim = await loot();
  const self: TakenOverIntake = {
    ...{ stage, elsewhere, victim, values },
    older: await loot({
      version: 1,
      policy: { ...policy, rules: [{ ...rule, paths: ["/v0/**", "/v1/**"], who: { level: "reader" } }] },
    }),
    foreign: await loot({ org: stage.orgs.org_globex ?? "" }),
    granted: await loot({
      name: "granted",
      policy: {
        ...policy,
        grant: {
          ...{
            type: "client_credentials",
            endpoint: `${policy.origin}/token`,
            clientId: "c",
            clientAuth: "post",
          },
          ...{ scopes: ["read"], who: { level: "admin" }, lifetimeSeconds: 600 },
        },
      },
    }),
    async sealedFor(purpose) {
      const { name, version } = victim;
      const context = { org: stage.orgs.org_acme ?? "", credential: name, version: String(version), purpose };
      const bytes = new TextEncoder().encode("sealed-for-another-purpose");
      const envelope = await seal(
        keysOf(internal, "intake", purpose),
        { ...context, policy: "A".repeat(43) },
        bytes,
      );
      return { envelope: Buffer.from(envelope).toString("base64") };
    },
    async frames(...frames) {
      const request = stage.open();
      const answer = readAnswer(request);
      for (const frame of frames) request.write(frame);
      request.end();
      return answer;
    },
    call: (changes = {}) => stage.call({ ...victim, ...changes }),
    async stop() {
      await stage.stop();
      await elsewhere.down();
    },
  };
  return self;
}

/** The frames of a call that is let go by its own receipt. */
export const letGo = (stage: BrokerStage, call: UseCall): Uint8Array[] => [
  jsonFrame("call", call),
  jsonFrame("go", { receipt: stage.receipt(call) }),
];
