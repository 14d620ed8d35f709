import type { CallFailed } from "../../shared/broker/calls.ts";
import { TokenAnswer, type TokenCall } from "../../shared/broker/tokens.ts";
import type { BrokerClient } from "../broker/client.ts";
import { CallRefused } from "../broker/failures.ts";

/** The broker's operation `token`, with a refusal as an answer. Throws `broker_unavailable`. */
export async function askToken(
  broker: Pick<BrokerClient, "ask">,
  call: TokenCall,
): Promise<TokenAnswer | { failed: CallFailed }> {
  try {
    return await broker.ask("token", call, TokenAnswer);
  } catch (error) {
    if (error instanceof CallRefused) return { failed: error.failed };
    throw error;
  }
}
