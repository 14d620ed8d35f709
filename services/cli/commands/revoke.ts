import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { OrgView } from "../../shared/api/orgs.ts";
import type { NewRevocation } from "../../shared/front/published/revocations.ts";
import { revokeMadeBy } from "../../shared/vault/machine-tokens.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { maintainLogin, signIn } from "../platform/maintain.ts";
import type { Session } from "../session.ts";

export const revokeCommand: CliCommand = {
  declare(line) {
    line
      .argument("<org>", "name or id")
      .option("--subject <sub>", "all tokens issued to this subject until now")
      .option("--token-id <jti>", "the token with this id")
      .option("--token-file <path>", "the token in this file; only its digest is sent");
  },
  run: revokeTokens,
};

/** By then every gateway refuses a revoked token. */
const IN_FORCE_MS = 5_000;

/**
 * `strongroom org revoke <org>`: revokes tokens of an organization before they expire. If the platform runs on
 * this machine, it also revokes the machine tokens that a subject created; otherwise a note says how to.
 */
async function revokeTokens(
  session: Session,
  [nameOrId = ""]: string[],
  options: { subject?: string; tokenId?: string; tokenFile?: string },
): Promise<undefined> {
  const revocation = await asked(options);
  const { out, environment } = session;
  const controlPlane = await session.controlPlane();
  const org = await controlPlane.findOrg(nameOrId);
  const { ends, machineTokens, ...what } = await controlPlane.revoke(org.id, revocation);
  const until = new Date(ends * 1000).toISOString();
  const revoked = `revoked  ${Object.values(what)[0]}  listed until ${until}`;
  if (!machineTokens) return void out.data({ ...what, ends }, () => revoked);
  if (!("subject" in revocation) || environment.STRONGROOM_URL) {
    out.note(machineTokens.detail);
    out.note(`  ${machineTokens.command}`);
    return void out.data({ ...what, ends, machineTokens }, () => revoked);
  }
  const ended = await endMachineTokens(session, org, revocation.subject);
  out.data({ ...what, ends, machineTokensEnded: ended }, () => [
    revoked,
    `revoked  ${ended} machine tokens that ${JSON.stringify(revocation.subject)} created`,
  ]);
}

/** Revokes a subject's machine tokens, including any that it creates until every gateway refuses it. */
async function endMachineTokens(session: Session, org: OrgView, subject: string): Promise<number> {
  const platform = await session.local("org revoke");
  const signer = await signIn(platform);
  const login = () => maintainLogin(platform, signer, org);
  const atOnce = await revokeMadeBy(login, subject);
  session.out.note("Waiting until every gateway refuses the subject");
  await sleep(IN_FORCE_MS);
  return atOnce + (await revokeMadeBy(login, subject));
}

async function asked(options: {
  subject?: string;
  tokenId?: string;
  tokenFile?: string;
}): Promise<NewRevocation> {
  const { subject, tokenId, tokenFile } = options;
  if ([subject, tokenId, tokenFile].filter((each) => each !== undefined).length === 1) {
    if (subject !== undefined) return { subject };
    if (tokenId !== undefined) return { tokenId };
    if (tokenFile !== undefined) return { token: await digestOf(tokenFile) };
  }
  throw new Failure("usage", "Pass exactly one of --subject SUB, --token-id JTI and --token-file PATH");
}

/** The digest that identifies a JWT regardless of how its signature is encoded. */
async function digestOf(path: string): Promise<string> {
  const token = await readFile(path, "utf8").catch(() => {
    throw new Failure("usage", `--token-file: ${path} cannot be read`);
  });
  const [header, payload, signature, more] = token.trim().split(".");
  if (!header || !payload || !signature || more !== undefined) {
    throw new Failure("usage", `--token-file: ${path} does not contain a JWT`);
  }
  return createHash("sha256").update(`${header}.${payload}`).digest("base64url");
}
