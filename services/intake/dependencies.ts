import type { Logger } from "pino";
import type { KeyProvider } from "../shared/envelope/key-provider.ts";
import type { Signer } from "../shared/envelope/signer.ts";
import type { Queue } from "../shared/queue/queue.ts";
import type { Kind, Purpose } from "../shared/work/kinds.ts";
import type { BrokerClient } from "./broker/client.ts";
import type { JobWatch } from "./jobs/watch.ts";
import type { Store } from "./store/store.ts";

/** The queues between the intake and the workers of one kind. */
export interface KindQueues {
  jobs: Queue;
  results: Queue;
}

/** What the broker is called for at once, and with how much. */
export interface UseLimits {
  /** Calls in hand of an organization, at this intake. */
  ofOrg: number;
  /** Calls in hand of one credential, at this intake. */
  ofCredential: number;
  mostBodyBytes: number;
}

/** What the intake's parts share. */
export interface Intake {
  store: Store;
  /** Each makes data keys for one kind of worker, and opens none. */
  keys: Record<Purpose, KeyProvider>;
  /** Signs where organizations' chains of receipts stand. */
  receiptsSigner: Signer;
  queues: Record<Kind, KindQueues>;
  broker: BrokerClient;
  uses: UseLimits;
  /** The ports that a destination may have. */
  destinationPorts: ReadonlySet<number>;
  watch: JobWatch;
  log: Logger;
  /** Milliseconds since 1970; tokens are always verified by the system's clock. */
  now: () => number;
}
