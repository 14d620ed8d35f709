import { isServed } from "../../shared/api/org-states.ts";
import { compareOrgVault, configureOrgVault } from "../../shared/vault/org-vault.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { maintainLogin, orgVaultSettings, signIn } from "../platform/maintain.ts";
import { refuseStrangers } from "../platform/ownership.ts";
import type { Session } from "../session.ts";

export const repairCommand: CliCommand = {
  declare(line) {
    line.argument("<org>", "name or id");
  },
  run: repairOrg,
};

/**
 * `strongroom org repair <org>`: rewrites an organization's policies, logins and audit devices. It gives access to
 * the owner in the signed record, and refuses if the registry names someone else.
 */
async function repairOrg(session: Session, [nameOrId = ""]: string[]): Promise<undefined> {
  const { out } = session;
  const platform = await session.local("org repair");
  const org = await (await session.controlPlane()).findOrg(nameOrId);
  if (!isServed(org)) {
    throw new Failure("conflict", `${org.name} is ${org.state}; only a ready organization can be repaired`);
  }
  const settings = await orgVaultSettings(platform, org);
  const signer = await signIn(platform);
  await refuseStrangers(signer, org, settings);
  const client = await maintainLogin(platform, signer, org);
  const before = await compareOrgVault(client, settings, { sudo: true });
  if (before.length > 0) await configureOrgVault(client, settings);
  const left = before.length > 0 ? await compareOrgVault(client, settings, { sudo: true }) : [];
  const repaired = before.filter((each) => !left.includes(each));
  out.data({ repaired, left }, () => [
    ...repaired.map((each) => `repaired  ${each}`),
    ...left.map((each) => `left      ${each}`),
  ]);
  if (left.length > 0)
    throw new Failure("failure", "The remaining differences can't be repaired automatically. Review them.");
  out.note(before.length === 0 ? `${org.name} has no drift` : `${org.name} is repaired: no drift remains`);
}
