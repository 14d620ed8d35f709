import type { ConnectionSettings } from "../../shared/api/connections.ts";
import { isAllowedRedirect, isRedirectPattern } from "../../shared/broker/redirect.ts";
import { type PartError, StrongroomError } from "../../shared/errors.ts";
import type { Store } from "../store/store.ts";
import { settingsKey } from "./records.ts";

/** The command's own listener, on the machine of the member who runs it. */
const DEFAULT: ConnectionSettings = { redirects: ["http://127.0.0.1/callback/{connection}"] };

export async function readSettings(store: Store, org: string): Promise<ConnectionSettings> {
  return (await store.get<ConnectionSettings>(settingsKey(org)))?.body ?? DEFAULT;
}

/** Replaces the settings. Throws `invalid_destination` for what is no redirect. */
export async function putSettings(
  store: Store,
  org: string,
  settings: ConnectionSettings,
): Promise<ConnectionSettings> {
  const errors = settings.redirects.flatMap((redirect, index): PartError[] =>
    isRedirectPattern(redirect)
      ? []
      : [
          {
            pointer: `/body/redirects/${index}`,
            message:
              "is no redirect in its one spelling: https, or http://127.0.0.1, with a path, without query and fragment",
          },
        ],
  );
  if (errors.length > 0) throw invalid("A redirect is not allowed. See `errors`.", errors);
  await store.write([{ ...settingsKey(org), body: settings }]);
  return settings;
}

/** Throws `invalid_destination` unless the organization allows the redirect for this connection. */
export async function checkRedirect(
  store: Store,
  org: string,
  connection: string,
  redirect: string,
): Promise<void> {
  const { redirects } = await readSettings(store, org);
  if (isAllowedRedirect(redirect, connection, redirects)) return;
  const message = "is not one of the organization's redirects, letter by letter: PUT /v1/connection-settings";
  throw invalid("The redirect is not allowed.", [{ pointer: "/body/redirect", message }]);
}

const invalid = (detail: string, errors: PartError[]) =>
  new StrongroomError("invalid_destination", detail, { errors });
