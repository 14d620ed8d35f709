import type { IncomingMessage, ServerResponse } from "node:http";
import { found, Passage } from "../shared/front/passage.ts";
import type { Secret } from "../shared/secret.ts";
import type { Trace } from "./record/request-log.ts";
import type { Target } from "./route/authorize-path.ts";
import type { CanonicalPath } from "./route/canonical-path.ts";
import type { Route } from "./route/routes.ts";
import type { Upstream } from "./upstream/upstreams.ts";

/** A request to the gateway on its way through the checks. */
export class GatewayPassage extends Passage {
  declare readonly trace: Trace;
  /** Path and query, as they came. */
  readonly url: string;
  readonly response: ServerResponse;
  /** The one spelling of its path, and the route that has it; what no route has is refused once it is known by whom. */
  path: CanonicalPath | undefined;
  route: Route | undefined;
  /** Whether it asks for what is anyone's; then nobody has asked who it is. */
  isOpen = false;
  /** The token of the organization's Vault that is kept for its JWT. */
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

  /** What it was granted: a route's verb, with path and query as they are forwarded. */
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
