import type { StartConnection, StartedConnection } from "../../shared/api/connections.ts";
import {
  type ConnectionBegin,
  ConnectionBegun,
  FLOW_SECONDS,
  type ProviderChoice,
} from "../../shared/broker/connections.ts";
import { providerOf, servesApi } from "../../shared/broker/providers.ts";
import { type PartError, StrongroomError } from "../../shared/errors.ts";
import { checkBrokerPolicy } from "../credentials/check-broker-policy.ts";
import { urlProblem } from "../credentials/check-destination.ts";
import { repeated } from "../credentials/check-rules.ts";
import { loadClientSecret } from "./client-secret.ts";
import { checkReplaceable } from "./connections.ts";
import type { Connector } from "./connector.ts";
import { askBroker, type ConnectionParts } from "./parts.ts";
import { type FlowRecord, flowKey } from "./records.ts";
import { checkRedirect } from "./settings.ts";

/** Begins a flow for a member: the authorization URL, which expires. Throws StrongroomError. */
export async function startConnection(
  parts: ConnectionParts,
  member: Connector,
  body: StartConnection,
  signal: AbortSignal,
): Promise<StartedConnection> {
  const { name, provider, scopes, redirect, client, ...use } = body;
  const { org, id, token, digest } = member;
  const { intake } = parts;
  const { store, now } = intake;
  check(body, intake.destinationPorts);
  await checkRedirect(store, org, name, redirect);
  await checkReplaceable(store, org, name);
  const secret = await loadClientSecret(store, org, client, provider);
  const call: ConnectionBegin = {
    ...{ id, token, org, connection: name, provider, scopes, redirect, use },
    ...{ clientId: client.id, hasSecret: secret !== undefined },
  };
  const {
    url,
    flow: envelope,
    host,
  } = await askBroker(parts, "connection-begin", call, ConnectionBegun, signal);
  const expiresAt = Math.floor(now() / 1000) + FLOW_SECONDS;
  const flow: FlowRecord = { id, envelope, provider, client, scopes, host };
  await store.write([{ ...flowKey(org, name, digest), body: flow, expiresAt }]);
  return { name, url, expiresAt: new Date(expiresAt * 1000).toISOString() };
}

function check(body: StartConnection, ports: ReadonlySet<number>): void {
  const { provider, scopes, rules, concurrency, who } = body;
  const errors = [
    ...repeated("scopes", scopes),
    ...repeated("who/groups", who?.groups),
    ...repeated("who/subjects", who?.subjects),
    ...providerErrors(provider, body.origin, ports),
  ].map(({ pointer, message }) => ({ pointer: `/body/${pointer}`, message }));
  if (errors.length > 0) {
    throw new StrongroomError("invalid_destination", "The connection is not allowed. See `errors`.", {
      errors,
    });
  }
  const origin = body.origin ?? (typeof provider === "string" ? providerOf(provider).api.origin : "");
  const inject = { header: "Authorization", format: "Bearer {}" };
  checkBrokerPolicy({ origin, inject, rules, ...(concurrency && { concurrency }) }, ports, "/body");
}

function providerErrors(
  provider: ProviderChoice,
  origin: string | undefined,
  ports: ReadonlySet<number>,
): PartError[] {
  if (typeof provider === "string") {
    const { title, api } = providerOf(provider);
    if (origin === undefined || servesApi({ api }, origin)) return [];
    return [{ pointer: "origin", message: `is not of ${title}: its API is at ${api.hosts.join(", ")}` }];
  }
  const urls = Object.entries(provider).flatMap(([member, url]): PartError[] => {
    const problem = member === "clientAuth" ? undefined : urlProblem(withSlash(url), ports);
    return problem === undefined ? [] : [{ pointer: `provider/${member}`, message: problem }];
  });
  const missing = { pointer: "origin", message: "is missing: name the origin of the provider's API" };
  return origin === undefined ? [...urls, missing] : urls;
}

/** An issuer may be an origin alone. */
const withSlash = (url: string): string => (/^https:\/\/[^/]*$/.test(url) ? `${url}/` : url);
