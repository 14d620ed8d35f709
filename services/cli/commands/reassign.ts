import { createInterface } from "node:readline/promises";
import { type Owner, ownerOf, ownerRecords } from "../../shared/registry/owners.ts";
import type { OrgView } from "../../shared/registry/views.ts";
import { machineTokens, revokeMachineToken } from "../../shared/vault/machine-tokens.ts";
import { configureOrgVault } from "../../shared/vault/org-vault.ts";
import { Failure } from "../failure.ts";
import { table } from "../output.ts";
import { localIssuer, localIssuerKeys } from "../platform/issuer.ts";
import { maintainLogin, orgVaultSettings, signIn } from "../platform/maintain.ts";
import { refuseStrangers } from "../platform/ownership.ts";
import type { Session } from "../session.ts";

/**
 * `strongroom org reassign <org>`: gives an organization to another claim, or takes up its issuer's settings and
 * keys as they are now. The operator sees old and new and types the new claim; the owner's record is written and
 * signed with the operator's login, and registry, directory and Vault follow it. One that was cut off goes on where
 * it is run again.
 */
export async function reassignOrg(
  session: Session,
  [nameOrId = ""]: string[],
  options: { claim?: string; confirm?: string },
): Promise<undefined> {
  const { out } = session;
  const platform = await session.local("org reassign");
  const controlPlane = await session.controlPlane();
  const org = await controlPlane.findOrg(nameOrId);
  if (org.state !== "ready") throw new Failure("conflict", `${org.name} is ${org.state}`);
  const signer = await signIn(platform);
  const owners = ownerRecords(signer);
  const before = await owners.read(org.id);
  const issuer = localIssuer(platform.identityProvider);
  const claim = options.claim ?? before?.value.claim ?? org.claim;
  const after = ownerOf({ issuer, claim, issuerKeys: await localIssuerKeys(issuer) });

  const changes = changedRows(before?.value, after);
  if (changes.length > 0) {
    const others = (await controlPlane.orgs()).filter((each) => isTaken(each, org, issuer.issuer, claim));
    if (others[0]) throw new Failure("conflict", `The claim ${claim} is ${others[0].name}'s`);
    for (const line of table([org.name, "OWNER NOW", "OWNER THEN"], changes)) out.note(line);
    await confirm(session, org, claim, options.confirm);
  }
  // Signed anew even if only the registry says otherwise: a gateway that knows the organization by that alone takes
  // the owner back by nothing but a statement.
  if (changes.length > 0 || org.claim !== claim || org.issuer !== issuer.issuer)
    await owners.replace(org.id, after, before?.version ?? 0);
  const changed = await controlPlane.followOwner(org.id);
  const settings = await orgVaultSettings(platform, changed);
  await refuseStrangers(signer, changed, settings);
  const login = () => maintainLogin(platform, signer, changed);
  await configureOrgVault(await login(), settings);
  // They were made by people of the owner before.
  const ended = changed.machineTokens && changes.length > 0 ? await machineTokens(login) : [];
  for (const { accessor } of ended) await revokeMachineToken(await login(), accessor);
  out.data({ claim, issuer: issuer.issuer, changed: changes.length > 0, ended: ended.length }, () => [
    `${changed.name} belongs to ${claim} of ${issuer.issuer}`,
  ]);
}

/** What differs, as rows of member, old and new. */
function changedRows(before: Owner | undefined, after: Owner): string[][] {
  const [old, now] = [before && rowsOf(before), rowsOf(after)];
  return Object.entries(now)
    .filter(([member, value]) => old?.[member] !== value)
    .map(([member, value]) => [member, old?.[member] ?? "-", value]);
}

const rowsOf = ({ claim, issuer, keys }: Owner): Record<string, string> => ({
  claim,
  ...Object.fromEntries(Object.entries(issuer).map(([member, value]) => [member, String(value)])),
  keys: keys.map((key) => key.slice(0, 16)).join(" "),
});

/** Whether an organization that lives, other than this one, has the claim. */
const isTaken = (each: OrgView, org: OrgView, issuer: string, claim: string): boolean =>
  each.id !== org.id &&
  each.issuer === issuer &&
  each.claim === claim &&
  !["deleted", "failed"].includes(each.state);

async function confirm(
  session: Session,
  org: OrgView,
  claim: string,
  given: string | undefined,
): Promise<void> {
  let answer = given;
  if (answer === undefined) {
    if (!process.stdin.isTTY) {
      const hint = `If that is meant: --confirm ${claim}`;
      throw new Failure("usage", `This lets other people into ${org.name}'s Vault`, hint);
    }
    const terminal = createInterface({ input: process.stdin, output: session.out.stderr });
    answer = (
      await terminal.question(`Let these people into ${org.name} (${org.id}). Type their claim: `)
    ).trim();
    terminal.close();
  }
  if (answer !== claim) throw new Failure("failure", `Nothing was changed: that is not the claim ${claim}`);
}
