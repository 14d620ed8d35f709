import type { IncomingMessage, ServerResponse } from "node:http";
import { found, Passage } from "../shared/front/passage.ts";
import type { Trace } from "../shared/front/request-log.ts";
import type { Secret } from "../shared/secret.ts";
import type { Target } from "./route/authorize-path.ts";
import type { CanonicalPath } from "./route/canonical-path.ts";
import type { Route } from "./route/routes.ts";
import type { Upstream } from "./upstream/upstreams.ts";

/** A request on its way through the gateway's checks. */
export class GatewayPassage extends Passage {
  declare readonly trace: Trace;
  /** Path and query, as received. */
  readonly url: string;
  readonly response: ServerResponse;
  /** Its canonical path, and the route that serves it; without a route it is refused, once the caller is known. */
  path: CanonicalPath | undefined;
  route: Route | undefined;
  /** Whether its path is open to anyone; then the caller has not been authenticated. */
  isOpen = false;
  /** The Vault token kept for its JWT. */
  vaultToken: Secret | undefined;
  #target: Target | undefined;
  #upstream: Upstream | undefined;

  constructor(
    request: { raw: IncomingMessage; url: string; address: string | undefined; response: ServerResponse },
    trace: Trace,
    { isPatient }: { isPatient: boolean },
  ) {
    super(request.raw, request.address, trace, { isPatient });
    this.url = request.url;
    this.response = request.response;
  }

  /** The authorized target: a route's verb, with path and query as they are forwarded. */
  get target(): Target {
    return found("target", this.#target);
  }

  set target(target: Target) {
    this.#target = target;
  }

  /** The organization's Vault. */
  get upstream(): Upstream {
    return found("Vault", this.#upstream);
  }

  set upstream(upstream: Upstream) {
    this.#upstream = upstream;
  }
}
