import { StrongroomError } from "../shared/errors.ts";
import { callerChecks, chargeOrg } from "../shared/front/admit.ts";
import { checkFraming } from "../shared/front/http/check-framing.ts";
import type { Authenticator } from "../shared/front/identity/authenticator.ts";
import { hasToken, requestToken } from "../shared/front/identity/token.ts";
import { requireLevel } from "../shared/front/levels.ts";
import { type Check, found, pass, passAtOnce } from "../shared/front/passage.ts";
import { hasBody } from "../shared/front/uploads.ts";
import { chargeFailed } from "./charges.ts";
import type { Dependencies } from "./dependencies.ts";
import { checkLoginLength } from "./http/login-body.ts";
import type { GatewayPassage } from "./passage.ts";
import { authorizePath } from "./route/authorize-path.ts";
import { canonicalPath } from "./route/canonical-path.ts";
import { type Answer, findRoute } from "./route/routes.ts";
import { knowMachine } from "./upstream/known-machine.ts";
import type { Logins } from "./upstream/logins.ts";

type GatewayCheck = Check<GatewayPassage>;

/** Refuses a request, or admits it to its handler. */
export interface Pipeline {
  /** Admits a request before its body is read. Throws the error of the check that refuses it. */
  admit(passage: GatewayPassage): Promise<void>;
  /** Admits a login by the JWT in its body. Throws the error of the check that refuses it. */
  admitLogin(passage: GatewayPassage, jwt: string): Promise<void>;
  /** Whether a read passes without waiting: its JWT was verified before and is logged in at its Vault. */
  admitKnownRead(passage: GatewayPassage): boolean;
}

/** The checks of every request. */
export function createPipeline(dependencies: Dependencies, authenticator: Authenticator): Pipeline {
  const { logins } = dependencies;
  const own = gatewayChecks(dependencies);
  const caller = callerChecks({
    ...dependencies,
    authenticator,
    onRevoked: ({ org, identity }) => identity && logins.forget(org.id, identity),
  });

  /** Who is the caller? A login starts here, once its body has been read. */
  const whose: readonly GatewayCheck[] = [
    caller.token, // its JWT was signed by an issuer in the directory
    caller.organization, // the JWT's pair (issuer, claim) names an organization
    caller.revocation, // the JWT was not revoked
    caller.charge, // the organization is within its rate limit, and is charged
    caller.headers, // no header names another organization or namespace
    own.level, // the JWT's groups give a level
  ];
  /** The order in which a request is checked, before its body is read. */
  const order: readonly GatewayCheck[] = [
    own.framing, // every parser agrees where its body ends
    caller.recall, // was its JWT verified before?
    caller.address, // if not, its address is within the limit for failed requests
    own.path, // its path has one meaning
    own.openPath, // an open path is admitted here
    own.machine, // a machine token names its organization, and its Vault verifies it
    ...whose,
    own.target, // the route takes the verb and the query
    own.room, // there is room for its body
  ];
  /** The same checks for a request that gives up rather than waits: those that count it come last, after the login. */
  const counts = ({ counts }: GatewayCheck) => counts === true;
  const atOnce = [
    ...order.filter((check) => !counts(check)),
    loggedIn(logins),
    ...order.filter((check) => counts(check)),
  ];

  return {
    admit: (passage) => pass(order, passage),
    admitLogin(passage, jwt) {
      passage.token = jwt;
      return pass(whose, passage);
    },
    admitKnownRead: (passage) => passAtOnce(atOnce, passage),
  };
}

/** The checks that are the gateway's own. */
function gatewayChecks({ directory, limits, machines, uploads, unverified, upstreams }: Dependencies) {
  const framing: GatewayCheck = {
    run({ raw }) {
      checkFraming(raw);
      return undefined;
    },
  };

  const path: GatewayCheck = {
    run(passage) {
      const path = canonicalPath(passage.url);
      const route = findRoute(path.segments);
      passage.path = path;
      passage.route = route;
      passage.trace.route = route?.name;
      passage.mayBeRevoked = route?.answer === "revoke-self";
      return undefined;
    },
  };

  const openPath: GatewayCheck = {
    run(passage) {
      const { raw, response, route, address, trace } = passage;
      if (!route || !("open" in route.access)) return undefined;
      // With a token, the request is about the state of the organization's Vault.
      if (OF_A_VAULT.has(route.answer) && hasToken(raw)) return undefined;
      if (!passage.isPatient) return "gives up";
      passage.target = authorizePath(route, raw.method ?? "", found("path", passage.path));
      passage.isOpen = true;
      passage.identity = undefined; // a token in the headers does not count here; a login's is in its body
      trace.subject = undefined;
      if (route.answer === "login") {
        checkLoginLength(raw.headers["content-length"]);
        unverified.admit(address ?? "", raw, response);
      } else limits.countAddress(address, trace.began);
      return "admitted";
    },
  };

  const machine: GatewayCheck = {
    run(passage) {
      const { current } = directory;
      if (passage.identity || !current) return undefined;
      const presented = requestToken(passage.raw);
      if (!machines.isMachineToken(presented)) return undefined;
      const machine = machines.admit(presented, passage.address ?? "", current);
      passage.machine = machine;
      passage.org = machine.org;
      passage.directory = current;
      passage.trace.subject = machine.subjectHash;
      return undefined;
    },
  };

  const level: GatewayCheck = {
    run({ identity, route }) {
      // Anyone may revoke their own token.
      if (identity && route?.answer !== "revoke-self") requireLevel(identity);
      return undefined;
    },
  };

  const target: GatewayCheck = {
    run(passage) {
      const { route, raw, org } = passage;
      passage.target = authorizePath(route, raw.method ?? "", found("path", passage.path));
      passage.upstream = upstreams.of(org, passage.directory);
      if (passage.machine && passage.target.route.answer === "machine-token") {
        throw new StrongroomError("forbidden", "permission denied");
      }
      return undefined;
    },
  };

  const room: GatewayCheck = {
    run(passage) {
      if (passage.machine) return hasBody(passage.raw) ? roomForMachine(passage) : undefined;
      uploads.admit(passage.org.id, passage.raw, passage.response);
      return undefined;
    },
  };
  /** A machine's body is read only once its Vault has accepted its token; the organization is charged for it. */
  async function roomForMachine(passage: GatewayPassage): Promise<undefined> {
    const { raw, response, org, upstream, trace } = passage;
    await knowMachine(machines, found("machine", passage.machine), upstream, trace.requestId).catch(
      (error) => {
        chargeFailed(limits, passage);
        throw error;
      },
    );
    chargeOrg(limits, passage);
    uploads.admit(org.id, raw, response);
    return undefined;
  }

  return { framing, path, openPath, machine, level, target, room };
}

/** Passes a read that the organization's Vault answers, if a Vault token is kept for its JWT. */
const loggedIn = (logins: Logins): GatewayCheck => ({
  run(passage) {
    if (passage.target.route.answer !== "vault") return "gives up";
    passage.vaultToken = logins.kept(passage.upstream, found("caller", passage.identity));
    return passage.vaultToken ? undefined : "gives up";
  },
});

/** Answers about one organization's Vault if the request has a token, and otherwise about the gateway. */
const OF_A_VAULT: ReadonlySet<Answer> = new Set<Answer>(["health", "seal-status"]);
