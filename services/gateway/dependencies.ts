import type { Logger } from "pino";
import { unitsOfBody } from "../shared/front/cost.ts";
import { type LimitRates, Limits } from "../shared/front/limits.ts";
import { MachineCallers } from "../shared/front/machine-callers.ts";
import type { DirectorySource } from "../shared/front/published/directory-source.ts";
import type { RevocationSource } from "../shared/front/published/revocation-source.ts";
import { Uploads } from "../shared/front/uploads.ts";
import type { TlsIdentity } from "../shared/http/server.ts";
import type { Metrics } from "./record/metrics.ts";
import { Bodies } from "./route/bodies.ts";
import { Logins } from "./upstream/logins.ts";
import { Upstreams, type UpstreamTimes } from "./upstream/upstreams.ts";

export interface GatewayOptions {
  logger: Logger;
  /** Has the line of a request made later; each is made at once by default. */
  deferLine?: (log: () => void) => void;
  directory: DirectorySource;
  revocations: RevocationSource;
  /** Where the control plane takes revocations. */
  revocationsUrl: string;
  /** The authority behind the organizations' server certificates, PEM. */
  ca: string;
  maxTokenLifetimeSeconds: number;
  /** How many of the callers' Vault tokens are kept at most. */
  maxLogins: number;
  /** What the gateway shows to callers; without it they come by plain HTTP. */
  tls?: TlsIdentity | undefined;
  /** Counts requests. */
  metrics?: Metrics;
  /** How much is done for whom; no limits unless given. */
  limits?: LimitRates;
  /** Whether a caller's address is the last of `X-Forwarded-For`, as the proxy in front has added it. */
  behindProxy?: boolean;
  /** How long the organizations' Vaults may take, if it is not the usual. */
  upstreamTimes?: UpstreamTimes;
  /** Milliseconds since 1970; the system's clock by default. */
  now?: () => number;
}

/** What the gateway works with. */
export interface Dependencies extends Pick<GatewayOptions, "directory" | "revocations" | "revocationsUrl"> {
  limits: Limits;
  upstreams: Upstreams;
  logins: Logins;
  machines: MachineCallers;
  /** Bodies of those who have been verified, by organization. */
  uploads: Uploads;
  /** Bodies of those whom nothing has verified yet, by address: they take no room from those who are. */
  unverified: Uploads;
  bodies: Bodies;
  now: () => number;
}

export function createDependencies(options: GatewayOptions): Dependencies {
  const { directory, revocations, revocationsUrl, ca, maxLogins, now = Date.now } = options;
  const limits = new Limits(options.limits ?? {});
  return {
    directory,
    revocations,
    revocationsUrl,
    limits,
    upstreams: new Upstreams(ca, options.upstreamTimes),
    logins: new Logins({ maxKept: maxLogins, now }),
    machines: new MachineCallers(),
    uploads: new Uploads((org, bytes) => limits.chargeOrg(org, unitsOfBody(bytes))),
    unverified: new Uploads(),
    bodies: new Bodies(limits),
    now,
  };
}
