import { brokerPolicyHash } from "../shared/broker/policy.ts";
import type { KeyProvider } from "../shared/envelope/key-provider.ts";
import { BrokerMessage } from "../shared/work/messages.ts";
import type { DialPostgresql } from "./outbound/dial-postgresql.ts";
import type { Exchange } from "./outbound/exchange.ts";
import { rotate } from "./rotation/rotate.ts";
import { makeSealingKey, rewrap } from "./seal-keys.ts";
import type { Work } from "./work.ts";

const PURPOSE = "broker";

/** What the broker does of its queue's jobs: sealing keys, credentials sealed anew, and the phases of rotations. */
export function brokerWork(
  keys: KeyProvider,
  exchange: Exchange,
  dialPostgresql: DialPostgresql,
): Work<typeof BrokerMessage> {
  return {
    schema: BrokerMessage,
    async perform(message, run) {
      if (message.type === "rotate") return rotate({ keys, exchange, dialPostgresql }, message, run);
      if (message.type === "make-sealing-key") {
        return makeSealingKey(keys, message.org, message.key, PURPOSE);
      }
      const { org, credential, version, policy, material } = message;
      const bound = { org, credential, version: String(version), policy: brokerPolicyHash(policy) };
      return rewrap(keys, { ...bound, purpose: PURPOSE }, material);
    },
  };
}
