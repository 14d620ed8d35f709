import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import type { Connection, StartConnection } from "../../shared/api/connections.ts";
import { PROVIDER_NAMES, type ProviderName } from "../../shared/broker/providers.ts";
import { listenForCallback } from "../callback-listener.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import { port, repeated } from "../options.ts";
import { table } from "../output.ts";
import type { Session } from "../session.ts";

interface StartOptions extends MemberOptions {
  provider?: ProviderName;
  issuer?: string;
  authorization?: string;
  token?: string;
  revocation?: string;
  scope?: string[];
  clientId: string;
  clientSecretCredential?: string;
  origin?: string;
  rules?: string;
  port: number;
}

/** Less than a flow lives. */
const WAIT_MS = 9 * 60_000;

export const startCommand: CliCommand = {
  declare(line) {
    declareMember(line.argument("<name>"))
      .addOption(new Option("--provider <name>", "a provider that is known").choices(PROVIDER_NAMES))
      .option("--issuer <url>", "or any provider with OpenID Connect Discovery")
      .option("--authorization <url>", "or any other: its authorization endpoint")
      .option("--token <url>", "and its token endpoint")
      .option("--revocation <url>", "and its revocation endpoint, if it has one")
      .requiredOption("--client-id <id>", "the organization's own client at the provider")
      .option("--client-secret-credential <name>", "the credential that has the client's secret")
      .addOption(repeated("--scope <scope>", "a scope to ask for (may be repeated)"))
      .option("--origin <url>", "the origin of the API that it is for (default: the provider's)")
      .option("--rules <file>", "JSON list of rules: what members may use it for (default: nothing yet)")
      .addOption(port("--port <port>", "the port to which the browser comes back (0: any)", 0))
      .addHelpText(
        "after",
        `
Prints a URL to open in a browser on this machine, waits until the provider has sent the browser back, and has what was
granted sealed. Nobody sees a token. Register http://127.0.0.1/callback/<name> as redirect URI at the provider.

Example:
  strongroom connection start calendar --provider google --client-id ID --client-secret-credential google-client \\
    --scope https://www.googleapis.com/auth/calendar.readonly --rules rules.json --org acme --group admin`,
      );
  },
  run: start,
};
export const listCommand: CliCommand = { declare: (line) => void declareMember(line), run: list };
const named = (line: Command) => declareMember(line.argument("<name>"));
export const showCommand: CliCommand = { declare: (line) => void named(line), run: show };
export const reduceCommand: CliCommand = {
  declare(line) {
    named(line).addOption(
      repeated("--scope <scope>", "a scope to keep (may be repeated)").makeOptionMandatory(),
    );
  },
  run: reduce,
};
export const deleteCommand: CliCommand = {
  declare(line) {
    named(line)
      .option("--yes", "do not ask for confirmation")
      .option("--force", "delete it here also if the provider cannot be told");
  },
  run: remove,
};
export const providersCommand: CliCommand = { declare: (line) => void declareMember(line), run: providers };

/** `strongroom connection start <name>` */
async function start(session: Session, [name = ""]: string[], options: StartOptions): Promise<undefined> {
  const { out } = session;
  const provider = providerOf(options);
  const rules = options.rules === undefined ? [] : await readRules(options.rules);
  const intake = await intakeAs(session, options);
  const listener = await listenForCallback(name, options.port);
  try {
    const { clientId: id, clientSecretCredential: secretCredential, origin, scope: scopes = [] } = options;
    const { url } = await intake.startConnection({
      ...{ name, provider, scopes, redirect: listener.redirect, rules },
      client: { id, ...(secretCredential !== undefined && { secretCredential }) },
      ...(origin !== undefined && { origin }),
    });
    out.note("Open this in your browser, and allow what is asked:");
    out.note(url);
    const state = new URL(url).searchParams.get("state") ?? "";
    const callback = await listener.callback(state, WAIT_MS);
    const connection = await intake.completeConnection(name, callback);
    out.note(`${name} is connected: ${connection.scopes.join(" ") || "no scopes"}`);
    out.data(connection, () => []);
  } finally {
    listener.close();
  }
}

function providerOf({ provider, issuer, ...endpoints }: StartOptions): StartConnection["provider"] {
  const { authorization, token, revocation } = endpoints;
  const given = [provider, issuer, authorization ?? token].filter((each) => each !== undefined);
  if (given.length === 1 && provider !== undefined) return provider;
  if (given.length === 1 && issuer !== undefined) return { issuer };
  if (given.length === 1 && authorization !== undefined && token !== undefined) {
    return { authorization, token, ...(revocation !== undefined && { revocation }) };
  }
  throw new Failure(
    "usage",
    "Pass one of --provider NAME, --issuer URL, or --authorization URL with --token URL",
  );
}

async function readRules(path: string): Promise<StartConnection["rules"]> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    const reason = error instanceof SyntaxError ? "is not JSON" : "cannot be read";
    throw new Failure("usage", `--rules: ${path} ${reason}`);
  }
}

/** `strongroom connection list` */
async function list(session: Session, _: string[], options: MemberOptions): Promise<undefined> {
  const connections = await (await intakeAs(session, options)).connections();
  if (connections.length === 0) {
    session.out.note("No connections. Begin one: strongroom connection start NAME --provider PROVIDER …");
  }
  session.out.data(connections, () =>
    connections.length === 0
      ? []
      : table(
          ["NAME", "PROVIDER", "STATE", "SCOPES", "CONNECTED BY", "CONNECTED"],
          connections.map((each) => [
            ...[each.name, providerText(each), each.state, each.scopes.join(" ")],
            ...[each.connectedBy.subject, each.connectedAt],
          ]),
        ),
  );
}

const providerText = ({ provider }: Connection): string => {
  if (typeof provider === "string") return provider;
  return "token" in provider ? new URL(provider.token).host : provider.issuer;
};

/** `strongroom connection show <name>` */
async function show(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const found = await (await intakeAs(session, options)).connection(name);
  session.out.data(found, () => {
    const withheld = found.askedScopes.filter((scope) => !found.scopes.includes(scope));
    const rows: [string, string | undefined][] = [
      ["name", found.name],
      ["provider", providerText(found)],
      ["state", found.detail === undefined ? found.state : `${found.state}: ${found.detail}`],
      ["scopes", found.scopes.join(" ") || "none"],
      ["not granted", withheld.join(" ")],
      ["origin", found.origin],
      ["client", found.client.id],
      ["connected by", `${found.connectedBy.subject} (${found.connectedBy.issuer})`],
      ["connected", found.connectedAt],
      ["refreshed", found.refreshedAt],
    ];
    return rows.filter(([, value]) => value).map(([label, value]) => `${label.padEnd(14)} ${value}`);
  });
}

/** `strongroom connection reduce <name> --scope …` */
async function reduce(
  session: Session,
  [name = ""]: string[],
  options: MemberOptions & { scope: string[] },
): Promise<undefined> {
  const reduced = await (await intakeAs(session, options)).reduceConnection(name, options.scope);
  session.out.note(`${name} has from now on: ${reduced.scopes.join(" ")}`);
  session.out.data(reduced, () => []);
}

/** `strongroom connection delete <name> --yes [--force]` */
async function remove(
  session: Session,
  [name = ""]: string[],
  options: MemberOptions & { yes?: boolean; force?: boolean },
): Promise<undefined> {
  if (!options.yes) {
    const what = `Deleting ${name} revokes it at its provider and destroys its credential`;
    throw new Failure("usage", what, "Pass --yes to confirm.");
  }
  const deleted = await (await intakeAs(session, options)).deleteConnection(name, options.force === true);
  session.out.note(
    deleted.isRevoked
      ? `${name} is revoked and deleted.`
      : `${name} is deleted here and NOT revoked. ${deleted.detail ?? ""}`.trim(),
  );
  session.out.data(deleted, () => []);
}

/** `strongroom connection providers` */
async function providers(session: Session, _: string[], options: MemberOptions): Promise<undefined> {
  const known = await (await intakeAs(session, options)).connectionProviders();
  session.out.data(known, () =>
    table(
      ["NAME", "TITLE", "API", "CLIENT SECRET FOR", "GRANTS", "REDUCIBLE"],
      known.map(({ name, title, hosts, secretOrigin, kind, canReduce }) => [
        ...[name, title, hosts.join(" "), secretOrigin, KINDS[kind], canReduce ? "yes" : "no"],
      ]),
    ),
  );
}

const KINDS = {
  refresh_token: "a refresh token",
  access_token: "an access token that does not expire",
  either: "either",
} as const;
