import type { Command } from "commander";
import { readSecretFile } from "../shared/config.ts";
import type { Secret } from "../shared/secret.ts";
import { orgToken } from "./commands/token.ts";
import { Failure } from "./failure.ts";
import { Intake } from "./intake-client.ts";
import { group } from "./options.ts";
import type { Session } from "./session.ts";

/** The organization as whose member a command acts. */
export interface MemberOptions {
  org?: string;
  group?: string;
}

/** A member's token is kept for less than its 15 minutes. */
const TOKEN_KEPT_MS = 10 * 60_000;

/** Adds the options that select a member of an organization of this machine's platform. */
export function declareMember(line: Command): Command {
  return line
    .option("--org <org>", "name or id of the organization, on this machine's platform")
    .addOption(group());
}

/**
 * The intake at STRONGROOM_INTAKE with the member's token in STRONGROOM_TOKEN_FILE; otherwise this machine's, as a
 * member of `--org` whom the local identity provider vouches for.
 */
export async function intakeAs(session: Session, { org, group }: MemberOptions): Promise<Intake> {
  const { STRONGROOM_INTAKE: address, STRONGROOM_TOKEN_FILE: file } = session.environment;
  if (address) {
    if (!file) {
      throw new Failure(
        "config",
        "STRONGROOM_INTAKE is set, but STRONGROOM_TOKEN_FILE is not",
        "Write a member's token to a file (mode 0600) and set STRONGROOM_TOKEN_FILE to its path",
      );
    }
    if (org || group) {
      throw new Failure(
        "usage",
        "--org and --group select a member of this machine's platform, but STRONGROOM_INTAKE selects another",
        "Leave them out: the token in STRONGROOM_TOKEN_FILE says whose member you are",
      );
    }
    return new Intake(address, async () => readSecretFile(file, "STRONGROOM_TOKEN_FILE"));
  }
  const platform = await session.local("this command");
  if (!org) throw new Failure("usage", "Pass --org ORG: the organization as whose member to act");
  return new Intake(
    platform.intake,
    kept(() => orgToken(session, { org, ...(group && { group }) })),
  );
}

/** Calls for a new token only when the last one is about to expire. */
function kept(mint: () => Promise<Secret>): () => Promise<Secret> {
  let token: { value: Secret; since: number } | undefined;
  return async () => {
    if (!token || performance.now() - token.since > TOKEN_KEPT_MS) {
      token = { value: await mint(), since: performance.now() };
    }
    return token.value;
  };
}
