import type { StartConnection } from "../../shared/api/connections.ts";
import type { SealedCredential } from "../../shared/broker/calls.ts";
import { isSecretOf, type ProviderChoice } from "../../shared/broker/connections.ts";
import { providerOf } from "../../shared/broker/providers.ts";
import { StrongroomError } from "../../shared/errors.ts";
import { loadUsable } from "../credentials/load.ts";
import type { Store } from "../store/store.ts";

/** The origin to which a client's secret is sent. */
export const secretOrigin = (provider: ProviderChoice): string => {
  if (typeof provider === "string") return new URL(providerOf(provider).token).origin;
  return new URL("token" in provider ? provider.token : provider.issuer).origin;
};

/** The client's secret as the broker takes it, if the client has one. Throws `invalid_value` with what is wrong. */
export async function loadClientSecret(
  store: Store,
  org: string,
  { id, secretCredential: name }: StartConnection["client"],
  provider: ProviderChoice,
): Promise<SealedCredential | undefined> {
  if (name === undefined) return undefined;
  const found = await loadUsable(store, org, name);
  const record = found?.record;
  if (!found || record?.purpose !== "broker") throw wrong("is not a credential of purpose `broker`");
  if (record.disabled) throw wrong("is disabled");
  const { version, destination: policy } = record;
  const origin = secretOrigin(provider);
  if (policy.origin !== origin)
    throw wrong(`was stored for another origin than ${origin}, the token endpoint's`);
  if (!isSecretOf(id, policy))
    throw wrong("was not stored as this client's: `basic`, with the client's id as user");
  return { name, version, policy, material: found.material };
}

function wrong(message: string): StrongroomError {
  const errors = [{ pointer: "/body/client/secretCredential", message }];
  return new StrongroomError("invalid_value", `The client's secret ${message}.`, { errors });
}
