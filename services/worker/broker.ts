import { brokerPolicyHash } from "../shared/broker/policy.ts";
import type { KeyProvider } from "../shared/envelope/key-provider.ts";
import { BrokerMessage } from "../shared/work/messages.ts";
import { makeSealingKey, rewrap } from "./seal-keys.ts";
import type { Work } from "./work.ts";

const PURPOSE = "broker";

/** What the broker does of its queue's jobs: sealing keys, and credentials sealed anew. */
export function brokerWork(keys: KeyProvider): Work<typeof BrokerMessage> {
  return {
    schema: BrokerMessage,
    async perform(message) {
      if (message.type === "make-sealing-key") {
        return makeSealingKey(keys, message.org, message.key, PURPOSE);
      }
      const { org, credential, version, policy, material } = message;
      const bound = { org, credential, version: String(version), policy: brokerPolicyHash(policy) };
      return rewrap(keys, { ...bound, purpose: PURPOSE }, material);
    },
  };
}
