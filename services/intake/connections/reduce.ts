import type { Connection } from "../../shared/api/connections.ts";
import type { BrokerPolicy } from "../../shared/broker/policy.ts";
import { providerOf } from "../../shared/broker/providers.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { changePolicy } from "../broker/change-policy.ts";
import type { UseMember } from "../http/caller.ts";
import { readConnection, showConnection } from "./connections.ts";
import type { ConnectionParts } from "./parts.ts";

/**
 * Reduces what a connection's access tokens may do. The grant at the provider stays as it is; the broker seals its refresh
 * token anew, for a policy by which it asks for fewer scopes. Throws `conflict` if that needs a new connection.
 */
export async function reduceConnection(
  parts: ConnectionParts,
  member: UseMember,
  id: string,
  name: string,
  scopes: string[],
): Promise<Connection> {
  const { store } = parts.intake;
  const { body: connection } = await readConnection(store, member.org, name);
  const { provider } = connection;
  const isNarrowing = typeof provider !== "string" || providerOf(provider).narrows;
  await changePolicy(parts, member, {
    ...{ id, name, conditions: {}, at: "/body" },
    change: (policy) =>
      isNarrowing ? narrowed(policy, scopes) : refuse("The provider issues no token for fewer."),
  });
  return showConnection(store, member.org, connection);
}

function narrowed(policy: BrokerPolicy, scopes: string[]): BrokerPolicy {
  const { grant } = policy;
  if (grant?.type !== "refresh_token") return refuse("Its access token is what was granted.");
  if (!scopes.every((scope) => grant.scopes.includes(scope))) return refuse("It does not have all of these.");
  return { ...policy, grant: { ...grant, scopes: grant.scopes.filter((scope) => scopes.includes(scope)) } };
}

function refuse(why: string): never {
  const message = `${why} Connect again, and ask for these scopes alone.`;
  throw new StrongroomError("conflict", message, { errors: [{ pointer: "/body/scopes", message }] });
}
