import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { pino } from "pino";
import { callerChecks } from "../../services/shared/front/admit.ts";
import { registerIdentity } from "../../services/shared/front/identity/authenticator.ts";
import { type LimitRates, Limits } from "../../services/shared/front/limits.ts";
import { Passage, pass, passAtOnce } from "../../services/shared/front/passage.ts";
import { createServer } from "../../services/shared/http/server.ts";
import { newOrgId } from "../../services/shared/org.ts";
import { type Published, startPublished } from "./published.ts";
import { startIssuer, type TestIssuer } from "./tokens.ts";

/**
 * All that stands before a service that faces callers, without the service: an issuer, one organization in the
 * directory, a list of revocations, limits. It has no Vault, so a machine's token, which only a Vault can judge, is
 * refused as no JWT.
 */
export interface Front extends Pick<Published, "directoryServer" | "publish" | "revoke"> {
  issuer: TestIssuer;
  /** The id of the organization `org_acme`, which the issuer's tokens name unless told otherwise. */
  org: string;
  /**
   * Has a caller pass the checks. Returns what they found out. Throws what one of them refuses it with: TokenRefused,
   * TooManyRequests, or a StrongroomError.
   */
  admit(caller: Caller): Promise<Passage>;
  /** Whether a caller passes with nothing to wait for, because it did so before. */
  admitAtOnce(caller: Caller): boolean;
  /** The passages of those whose token turned out to be revoked. */
  revoked: Passage[];
  close(): Promise<void>;
}

export interface Caller {
  /** Sent as `Authorization: Bearer`. */
  token?: string;
  headers?: Record<string, string>;
  /** The address that it comes from. */
  from?: string;
}

export interface FrontOptions {
  /** None unless given. */
  limits?: LimitRates;
  /** Milliseconds since 1970; the system's clock unless given. */
  now?: () => number;
}

/** Starts an issuer and a publisher on loopback, and the checks over them, in the order in which services list them. */
export async function startFront({ limits: rates = {}, now = Date.now }: FrontOptions = {}): Promise<Front> {
  const logger = pino({ level: "silent" });
  const issuer = await startIssuer();
  const published = await startPublished({ issuers: [issuer], logger, now });
  const { directory, revocations, directoryServer, publish, revoke } = published;
  const org = newOrgId();
  await publish([{ id: org, claim: "org_acme", address: "https://127.0.0.1:1" }]);

  const server = createServer(logger);
  const issuers = () => directory.current?.issuers ?? [];
  const authenticator = registerIdentity(server, { issuers, logger, maxLifetimeSeconds: 3600, now });
  await server.ready();
  const limits = new Limits(rates);
  const revoked: Passage[] = [];
  const onRevoked = (passage: Passage) => void revoked.push(passage);
  const checks = callerChecks({ directory, revocations, authenticator, limits, onRevoked });
  const { recall, address, token, organization, revocation, headers, charge } = checks;

  return {
    ...{ issuer, org, directoryServer, publish, revoke, revoked },
    async admit(caller) {
      const passage = passageOf(caller, true);
      await pass([recall, address, token, organization, revocation, charge, headers], passage);
      return passage;
    },
    // What counts a request comes last where one may give up.
    admitAtOnce: (caller) =>
      passAtOnce(
        [recall, address, token, organization, revocation, headers, charge],
        passageOf(caller, false),
      ),
    async close() {
      await server.close();
      await published.close();
      await issuer.close();
    },
  };
}

/** A caller's passage, as a service makes one of a request. */
function passageOf({ token, headers = {}, from = "127.0.0.1" }: Caller, isPatient: boolean): Passage {
  const raw = new IncomingMessage(new Socket());
  const sent = { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers };
  raw.headers = sent;
  raw.rawHeaders = Object.entries(sent).flat();
  const trace = { began: performance.now(), org: undefined, subject: undefined };
  return new Passage(raw, from, trace, { isPatient });
}
