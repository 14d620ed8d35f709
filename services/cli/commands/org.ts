import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { isLive } from "../../shared/api/org-states.ts";
import type { OrgView } from "../../shared/api/orgs.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { followJob, jobDuration } from "../follow-job.ts";
import { whenServed } from "../gateway.ts";
import { table } from "../output.ts";
import { duration } from "../progress.ts";
import type { Session } from "../session.ts";

export const createCommand: CliCommand = {
  declare(line) {
    line
      .argument("<name>", "3 to 40 lower-case letters, digits and hyphens")
      .requiredOption("--claim <id>", "the organization's id at the identity provider, as in its tokens")
      .option("--issuer <url>", "the issuer of its tokens (default: the platform's first)")
      .option(
        "--recovery-pgp-key <file...>",
        "PGP public keys (at least 3) to encrypt its recovery keys to (default: the platform's own)",
      )
      .option("--wait", "wait until it is ready, showing each step");
  },
  run: createOrg,
};

export const listCommand: CliCommand = {
  declare(line) {
    line.option("--deleted", "include deleted and failed ones");
  },
  run: listOrgs,
};

export const showCommand: CliCommand = {
  declare(line) {
    line.argument("<org>", "name or id");
  },
  run: showOrg,
};

export const deleteCommand: CliCommand = {
  declare(line) {
    line
      .argument("<org>", "name or id")
      .option("--yes", "do not ask for confirmation")
      .option("--wait", "wait until it is deleted, showing each step");
  },
  run: deleteOrg,
};

/** `strongroom org create <name>`: prints the job's id, or with `--wait` the new organization's. */
async function createOrg(
  session: Session,
  [name = ""]: string[],
  options: { claim: string; issuer?: string; recoveryPgpKey?: string[]; wait?: boolean },
): Promise<undefined> {
  const { out } = session;
  const controlPlane = await session.controlPlane();
  const { claim, issuer, recoveryPgpKey, wait } = options;
  const job = await controlPlane.createOrg({
    name,
    claim,
    ...(issuer && { issuer }),
    ...(recoveryPgpKey && { recoveryPgpKeys: await Promise.all(recoveryPgpKey.map(readPgpKey)) }),
  });
  if (!wait) {
    out.note(`Started onboarding ${name}. Follow it with: strongroom org job ${job.id}`);
    out.data(job, () => job.id);
    return;
  }
  const ended = await followJob(controlPlane, job, name, out);
  const platform = session.environment.STRONGROOM_URL ? undefined : await session.state.platform();
  if (platform) await whenServed(platform, claim);
  out.note(`${name} is ready after ${duration(jobDuration(ended))}. Next:`);
  if (platform) {
    out.note(`  strongroom vault --org ${name} --group writer -- kv put secret/app/db password=s3cret`);
    out.note(`  strongroom vault --org ${name} -- kv get secret/app/db`);
  } else out.note(`  strongroom org show ${name}`);
  out.data(await controlPlane.org(job.org), () => job.org);
}

/** A key in the API's form: armored or base64 text unchanged, anything else in base64. */
async function readPgpKey(path: string): Promise<string> {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (error) {
    throw new Failure("usage", `${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const text = content.toString("utf8").trim();
  return text.startsWith("-----BEGIN PGP") || /^[A-Za-z0-9+/=\s]+$/.test(text)
    ? text
    : content.toString("base64");
}

/** `strongroom org list` */
async function listOrgs(session: Session, _: string[], options: { deleted?: boolean }): Promise<undefined> {
  const all = await (await session.controlPlane()).orgs();
  const orgs = options.deleted ? all : all.filter(isLive);
  if (orgs.length === 0)
    session.out.note("No organizations. Create one: strongroom org create NAME --claim ID --wait");
  session.out.data(orgs, () => (orgs.length === 0 ? [] : orgTable(orgs)));
}

/** Organizations as a table, sorted by name. */
export function orgTable(orgs: OrgView[]): string[] {
  const rows = orgs
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .map((org) => [
      org.name,
      org.id,
      org.claim,
      org.state,
      vaultState(org),
      org.instance?.pid ? String(org.instance.pid) : "-",
      org.lastError?.message ?? org.instance?.lastError ?? "",
    ]);
  return table(["NAME", "ID", "CLAIM", "STATE", "VAULT", "PID", "LAST ERROR"], rows);
}

function vaultState({ instance }: OrgView): string {
  if (!instance) return "-";
  return instance.lowDisk ? `${instance.state}, low disk` : instance.state;
}

/** `strongroom org show <org>` */
async function showOrg(session: Session, [nameOrId = ""]: string[]): Promise<undefined> {
  const org = await (await session.controlPlane()).findOrg(nameOrId);
  session.out.data(org, () => {
    const rows: [string, string | number | undefined][] = [
      ["name", org.name],
      ["id", org.id],
      ["claim", org.claim],
      ["issuer", org.issuer],
      ["state", org.state],
      ["vault", vaultState(org)],
      ["pid", org.instance?.pid],
      ["address", org.listen && `https://${org.listen}`],
      ["attempt", org.attempt],
      ["certificate until", org.certificateNotAfter],
      ["recovery keys", org.recoveryKeys && `${org.recoveryKeys.length}, encrypted (see --json)`],
      ["created", org.createdAt],
      ["ready", org.readyAt],
      ["first login", org.firstLoginAt ?? (org.state === "ready" ? "none yet" : undefined)],
      ["deleted", org.deletedAt],
      ["last error", org.lastError && `${org.lastError.message} (${org.lastError.at})`],
      ["drift", org.drift?.join("; ")],
      ["job", org.job],
    ];
    return rows.filter(([, value]) => value).map(([label, value]) => `${label.padEnd(18)} ${value}`);
  });
}

/** `strongroom org delete <org>`: asks for confirmation on a terminal; requires `--yes` otherwise. */
async function deleteOrg(
  session: Session,
  [nameOrId = ""]: string[],
  options: { yes?: boolean; wait?: boolean },
): Promise<undefined> {
  const { out } = session;
  const controlPlane = await session.controlPlane();
  const org = await controlPlane.findOrg(nameOrId);
  if (!options.yes) await confirm(session, org);
  const job = await controlPlane.deleteOrg(org.id);
  if (!options.wait) {
    out.note(`Started deleting ${org.name}. Follow it with: strongroom org job ${job.id}`);
    out.data(job, () => job.id);
    return;
  }
  const ended = await followJob(controlPlane, job, org.name, out);
  out.note(
    `${org.name} is deleted after ${duration(jobDuration(ended))}. Its storage and seal key are kept.`,
  );
  out.data(await controlPlane.org(org.id), () => org.id);
}

async function confirm(session: Session, org: OrgView): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new Failure("usage", `Deleting ${org.name} stops its Vault permanently`, "Pass --yes to confirm.");
  }
  const terminal = createInterface({ input: process.stdin, output: session.out.stderr });
  const answer = await terminal.question(
    `Stop the Vault of ${org.name} (${org.id}) permanently? Type its name to confirm: `,
  );
  terminal.close();
  if (answer.trim() !== org.name)
    throw new Failure("failure", "The name does not match; nothing was deleted");
}
