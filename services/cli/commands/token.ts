import type { Secret } from "../../shared/secret.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { mintOperatorToken, mintTenantToken, OPERATOR_PERMISSIONS } from "../identity-provider.ts";
import { group } from "../options.ts";
import type { Session } from "../session.ts";

export const tokenCommand: CliCommand = {
  declare(line) {
    line
      .option("--org <org>", "a token for this organization's secrets (name or id)")
      .option("--operator", "a token for the control plane, with every permission")
      .addOption(group())
      .option("--sub <subject>", "the token's subject");
  },
  run: token,
};

/** `strongroom token --org <org>` or `--operator`: prints the token and nothing else. */
async function token(
  session: Session,
  _: string[],
  options: { org?: string; operator?: boolean; group?: string; sub?: string },
): Promise<undefined> {
  if ((options.org === undefined) === (options.operator !== true)) {
    throw new Failure(
      "usage",
      "Pass either --org ORG (a tenant's token) or --operator (a token for the control plane)",
    );
  }
  if (options.operator && options.group)
    throw new Failure("usage", "--group goes with --org; operators' tokens have no group");
  const { identityProvider } = await session.local("token");
  const minted = options.operator
    ? await mintOperatorToken(identityProvider, OPERATOR_PERMISSIONS, options.sub)
    : await orgToken(session, options as { org: string });
  session.out.data({ token: minted.reveal() }, () => minted.reveal());
}

/** A token for the organization with this name or id; the control plane supplies its claim. */
export async function orgToken(
  session: Session,
  { org, group, sub }: { org: string; group?: string; sub?: string },
): Promise<Secret> {
  const { identityProvider } = await session.local("a token of the local identity provider");
  const { claim } = await (await session.controlPlane()).findOrg(org);
  return await mintTenantToken(identityProvider, {
    org: claim,
    ...(group && { groups: [group] }),
    ...(sub && { sub }),
  });
}
