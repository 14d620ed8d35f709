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
  /** Defers the writing of a request's log line; by default each is written at once. */
  deferLine?: (log: () => void) => void;
  directory: DirectorySource;
  revocations: RevocationSource;
  /** The control plane's URL for revocations. */
  revocationsUrl: string;
  /** The authority behind the organizations' server certificates, PEM. */
  ca: string;
  maxTokenLifetimeSeconds: number;
  /** Maximum number of callers' Vault tokens kept. */
  maxLogins: number;
  /** The gateway's certificate and key; without it, plain HTTP. */
  tls?: TlsIdentity | undefined;
  /** Counts requests. */
  metrics?: Metrics;
  /** Rate limits; none by default. */
  limits?: LimitRates;
  /** Whether a client's address is the last entry of `X-Forwarded-For`, which the proxy in front appends. */
  behindProxy?: boolean;
  /** Timeouts for the organizations' Vaults, if not the defaults. */
  upstreamTimes?: UpstreamTimes;
  /** Milliseconds since 1970; the system's clock by default. */
  now?: () => number;
}

/** What the gateway's pipeline and handlers share. */
export interface Dependencies extends Pick<GatewayOptions, "directory" | "revocations" | "revocationsUrl"> {
  limits: Limits;
  upstreams: Upstreams;
  logins: Logins;
  machines: MachineCallers;
  /** Uploads by verified callers, by organization. */
  uploads: Uploads;
  /** Uploads by callers not verified yet, by address: a separate budget, so they crowd out no verified caller. */
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
