import { createInterface } from "node:readline/promises";
import { isLive, isServed } from "../../shared/api/org-states.ts";
import type { OrgView } from "../../shared/api/orgs.ts";
import { fetchIssuerKeys } from "../../shared/issuer-jwks.ts";
import { type Owner, ownerOf, ownerRecords } from "../../shared/owners.ts";
import { machineTokens, revokeMachineToken } from "../../shared/vault/machine-tokens.ts";
import { configureOrgVault } from "../../shared/vault/org-vault.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { table } from "../output.ts";
import { localIssuer } from "../platform/issuer.ts";
import { maintainLogin, orgVaultSettings, signIn } from "../platform/maintain.ts";
import { refuseStrangers } from "../platform/ownership.ts";
import type { Session } from "../session.ts";

export const reassignCommand: CliCommand = {
  declare(line) {
    line
      .argument("<org>", "name or id")
      .option("--claim <claim>", "the new owner's id at the identity provider (default: the current owner's)")
      .option("--confirm <claim>", "the new claim again, instead of typing it at the prompt");
  },
  run: reassignOrg,
};

/**
 * `strongroom org reassign <org>`: assigns an organization to another claim, or adopts its issuer's current
 * settings and keys. The operator sees old and new values and types the new claim. The command writes the owner's
 * record, signed with the operator's login; registry, directory and Vault follow it. Running it again resumes an
 * interrupted reassignment.
 */
async function reassignOrg(
  session: Session,
  [nameOrId = ""]: string[],
  options: { claim?: string; confirm?: string },
): Promise<undefined> {
  const { out } = session;
  const platform = await session.local("org reassign");
  const controlPlane = await session.controlPlane();
  const org = await controlPlane.findOrg(nameOrId);
  if (!isServed(org)) throw new Failure("conflict", `${org.name} is ${org.state}`);
  const signer = await signIn(platform);
  const owners = ownerRecords(signer);
  const before = await owners.read(org.id);
  const issuer = localIssuer(platform.identityProvider);
  const claim = options.claim ?? before?.value.claim ?? org.claim;
  const after = ownerOf({ issuer, claim, issuerKeys: await fetchIssuerKeys(issuer) });

  const changes = changedRows(before?.value, after);
  if (changes.length > 0) {
    const others = (await controlPlane.orgs()).filter((each) => isTaken(each, org, issuer.issuer, claim));
    if (others[0]) throw new Failure("conflict", `The claim ${claim} belongs to ${others[0].name}`);
    for (const line of table([org.name, "CURRENT OWNER", "NEW OWNER"], changes)) out.note(line);
    await confirm(session, org, claim, options.confirm);
  }
  // Signed again even if only the registry differs: a gateway that knows the organization only from the registry
  // goes back to the owner only for a new signed statement.
  if (changes.length > 0 || org.claim !== claim || org.issuer !== issuer.issuer)
    await owners.replace(org.id, after, before?.version ?? 0);
  const changed = await controlPlane.followOwner(org.id);
  const settings = await orgVaultSettings(platform, changed);
  await refuseStrangers(signer, changed, settings);
  const login = () => maintainLogin(platform, signer, changed);
  await configureOrgVault(await login(), settings);
  // Members of the previous owner created them.
  const ended = changed.machineTokens && changes.length > 0 ? await machineTokens(login) : [];
  for (const { accessor } of ended) await revokeMachineToken(await login(), accessor);
  out.data({ claim, issuer: issuer.issuer, changed: changes.length > 0, ended: ended.length }, () => [
    `${changed.name} belongs to ${claim} of ${issuer.issuer}`,
  ]);
}

/** The differences, as rows of member, old value and new value. */
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

/** Whether another live organization has the claim. */
const isTaken = (each: OrgView, org: OrgView, issuer: string, claim: string): boolean =>
  each.id !== org.id && each.issuer === issuer && each.claim === claim && isLive(each);

async function confirm(
  session: Session,
  org: OrgView,
  claim: string,
  given: string | undefined,
): Promise<void> {
  let answer = given;
  if (answer === undefined) {
    if (!process.stdin.isTTY) {
      const hint = `Pass --confirm ${claim} to confirm.`;
      throw new Failure("usage", `This gives other people access to ${org.name}'s Vault`, hint);
    }
    const terminal = createInterface({ input: process.stdin, output: session.out.stderr });
    answer = (
      await terminal.question(
        `Give these people access to ${org.name} (${org.id})? Type their claim to confirm: `,
      )
    ).trim();
    terminal.close();
  }
  if (answer !== claim)
    throw new Failure("failure", `Nothing was changed: the answer is not the claim ${claim}`);
}
