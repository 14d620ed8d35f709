import { isServed } from "../../shared/api/org-states.ts";
import type { OrgView } from "../../shared/api/orgs.ts";
import { fetchIssuerKeys } from "../../shared/issuer-jwks.ts";
import { changeIssuerKeys, type KeyChange } from "../../shared/vault/jwt-validation-keys.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { table } from "../output.ts";
import { localIssuer } from "../platform/issuer.ts";
import { maintainLogin, signIn } from "../platform/maintain.ts";
import { admitKeys } from "../platform/ownership.ts";
import type { Session } from "../session.ts";

export const rotateCommand: CliCommand = {
  declare(line) {
    line
      .option("--org <org...>", "names or ids (default: all organizations of the issuer)")
      .option("--finish", "remove older keys; use it once no token signed by one is still valid");
  },
  run: rotateIssuer,
};

/**
 * `strongroom issuer rotate`: adds the issuer's published keys to organizations' Vaults with one login of the
 * operator. A failure for one organization does not stop the others.
 */
async function rotateIssuer(
  session: Session,
  _: string[],
  { org: names, finish = false }: { org?: string[]; finish?: boolean },
): Promise<undefined> {
  const { out } = session;
  const platform = await session.local("issuer rotate");
  const issuer = localIssuer(platform.identityProvider);
  const controlPlane = await session.controlPlane();
  const orgs = names
    ? await Promise.all(names.map((name) => controlPlane.findOrg(name)))
    : (await controlPlane.orgs()).filter((org) => isServed(org) && org.issuer === issuer.issuer);
  for (const org of orgs) {
    const { name, state, issuer: its } = org;
    if (!isServed(org))
      throw new Failure("conflict", `${name} is ${state}; only a ready organization can be changed`);
    if (its !== issuer.issuer)
      throw new Failure("failure", `${name}'s tokens come from ${its}, which is not this platform's issuer`);
  }
  const keys = await fetchIssuerKeys(issuer);
  const signer = await signIn(platform);

  const changes: { org: OrgView; change?: KeyChange; error?: string }[] = [];
  for (const org of orgs) {
    try {
      await admitKeys(signer, org, issuer.issuer, keys, { finish });
      const client = await maintainLogin(platform, signer, org);
      changes.push({ org, change: await changeIssuerKeys(client, issuer, keys, { finish }) });
    } catch (error) {
      changes.push({ org, error: error instanceof Error ? error.message : String(error) });
    }
  }
  const rows = changes.map(({ org, change, error }) => ({
    org: org.id,
    name: org.name,
    ...(change && { added: change.added.length, removed: change.removed.length, keys: change.keys.length }),
    ...(error && { error }),
  }));
  out.data(rows, () =>
    table(
      ["ORGANIZATION", "ADDED", "REMOVED", "KEYS NOW"],
      rows.map(({ name, added, removed, keys, error }) =>
        error ? [name, "failed"] : [name, `${added}`, `${removed}`, `${keys}`],
      ),
    ),
  );
  const failed = changes.filter(({ error }) => error);
  for (const { org, error } of failed) out.note(`${org.name}: ${error}`);
  if (failed.length > 0) {
    throw new Failure(
      "failure",
      `${failed.length} of ${orgs.length} organizations failed`,
      "Fix the causes above and run the same command again.",
    );
  }
  if (!finish)
    out.note("Once no token signed by an older key is still valid, run: strongroom issuer rotate --finish");
}
