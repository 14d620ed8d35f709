import type { CliCommand } from "../command.ts";
import { group } from "../options.ts";
import type { Session } from "../session.ts";
import { orgToken } from "./token.ts";

export const envCommand: CliCommand = {
  declare(line) {
    line.requiredOption("--org <org>", "name or id").addOption(group());
  },
  run: env,
};

/** `strongroom env --org <org>`: variables that point Vault's own tools at the gateway, for a shell to evaluate. */
async function env(
  session: Session,
  _: string[],
  options: { org: string; group?: string },
): Promise<undefined> {
  const { gateway } = await session.local("env");
  const variables = { VAULT_ADDR: gateway, VAULT_TOKEN: (await orgToken(session, options)).reveal() };
  session.out.data(variables, () =>
    // Neither an address nor a JWT can contain a quote.
    Object.entries(variables).map(([name, value]) => `export ${name}='${value}'`),
  );
}
