import { Argument } from "commander";
import { isServed } from "../../shared/api/org-states.ts";
import {
  type MachineToken,
  machineTokens,
  revokeMachineToken,
  revokeMadeBy,
} from "../../shared/vault/machine-tokens.ts";
import { configureOrgVault } from "../../shared/vault/org-vault.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { table } from "../output.ts";
import { maintainLogin, orgVaultSettings, signIn } from "../platform/maintain.ts";
import { refuseStrangers } from "../platform/ownership.ts";
import type { Session } from "../session.ts";

export const machineTokensCommand: CliCommand = {
  declare(line) {
    line
      .argument("<org>", "name or id")
      .addArgument(
        new Argument(
          "<what>",
          "enable or disable machine tokens, list the live ones, or revoke some",
        ).choices(["on", "off", "list", "revoke"]),
      )
      .argument("[accessor]", "with revoke: the accessor of the token")
      .option("--made-by <sub>", "with revoke: all tokens that this subject created");
  },
  run: manageMachineTokens,
};

/**
 * `strongroom org machine-tokens <org> on|off|list|revoke`: acts on the organization's Vault with the operator's
 * login; only the record of on or off is the control plane's. `off` revokes every machine token.
 */
async function manageMachineTokens(
  session: Session,
  [nameOrId = "", what = "", accessor]: string[],
  { madeBy }: { madeBy?: string },
): Promise<undefined> {
  const named = [accessor, madeBy].filter((each) => each !== undefined).length;
  if (named !== (what === "revoke" ? 1 : 0)) {
    throw new Failure("usage", "revoke needs an accessor or --made-by; on, off and list take neither");
  }
  const { out } = session;
  const platform = await session.local("org machine-tokens");
  const controlPlane = await session.controlPlane();
  const org = await controlPlane.findOrg(nameOrId);
  if (!isServed(org)) throw new Failure("conflict", `${org.name} is ${org.state}`);
  const signer = await signIn(platform);
  const login = () => maintainLogin(platform, signer, org);

  if (what === "revoke" && accessor !== undefined) {
    if (!(await revokeMachineToken(await login(), accessor))) {
      const hint = `List them with: strongroom org machine-tokens ${org.name} list`;
      throw new Failure("notFound", `${org.name} has no live machine token ${accessor}`, hint);
    }
    out.data({ revoked: accessor }, () => `revoked  ${accessor}`);
  } else if (madeBy !== undefined) {
    const ended = await revokeMadeBy(login, madeBy);
    out.data({ ended }, () => `revoked  ${ended} machine tokens that ${JSON.stringify(madeBy)} created`);
  } else if (what === "list") {
    const tokens = await machineTokens(login);
    out.data(tokens, () => table(["ACCESSOR", "NAME", "LEVEL", "MADE BY", "UNTIL"], tokens.map(asRow)));
  } else {
    await refuseStrangers(signer, org, await orgVaultSettings(platform, org));
    const changed = await controlPlane.setMachineTokens(org.id, what === "on");
    const settings = await orgVaultSettings(platform, changed);
    await refuseStrangers(signer, org, settings);
    await configureOrgVault(await login(), settings);
    const ended = what === "on" ? [] : await machineTokens(login);
    for (const each of ended) await revokeMachineToken(await login(), each.accessor);
    out.data({ machineTokens: what === "on", ended: ended.length }, () =>
      what === "on"
        ? `machine tokens are enabled for ${org.name}: its admins can create them`
        : `machine tokens are disabled for ${org.name}; ${ended.length} revoked`,
    );
  }
}

const asRow = ({ accessor, name, level, createdBy, expiresAt }: MachineToken): string[] => [
  accessor,
  name,
  level,
  createdBy,
  expiresAt,
];
