import { statfs } from "node:fs/promises";
import { isLive } from "../../shared/api/org-states.ts";
import type { OrgView } from "../../shared/api/orgs.ts";
import type { CliCommand } from "../command.ts";
import { asFailure } from "../failure.ts";
import { openFiles } from "../platform/open-files.ts";
import { isFree } from "../platform/ports.ts";
import { serviceHealth } from "../platform/service-health.ts";
import type { PlatformFile } from "../platform/state-folder.ts";
import type { Session } from "../session.ts";
import { findVault, VaultNotFoundError } from "../vault-binary/find.ts";
import { vaultVersion } from "../vault-binary/inspect.ts";
import { type Advisory, openAdvisories, RECOMMENDED } from "../vault-binary/versions.ts";

export const doctorCommand: CliCommand = {
  declare() {},
  run: doctor,
};

/** The result of one check and, unless it is `ok`, what to do. */
export interface Check {
  name: string;
  result: "ok" | "warn" | "fail";
  detail: string;
  hint?: string;
  /** More about the detail, one line each. */
  notes?: string[];
  /** Vault's advisories that are not fixed in the version in use. */
  advisories?: Advisory[];
}

const MEBIBYTE = 1024 * 1024;
const LOW_DISK = { warn: 2048 * MEBIBYTE, fail: 256 * MEBIBYTE };
const CLOCK_MS = { warn: 2_000, fail: 30_000 };
const DAY_MS = 24 * 3600 * 1000;
const CERTIFICATE_DAYS = 3;

/** `strongroom doctor`: exit status 1 if a check fails. */
async function doctor(session: Session): Promise<number> {
  const remote = session.environment.STRONGROOM_URL !== undefined;
  const platform = remote ? undefined : await session.state.platform();
  const checks = [checkNode()];
  if (!remote) {
    checks.push(...(await checkVault(session, platform)));
    checks.push(await checkFiles(session), await checkDisk(session));
    checks.push(...(platform ? await checkServices(session, platform) : await checkPorts()));
  }
  if (remote || platform) checks.push(...(await checkControlPlane(session)));

  session.out.data(checks, () =>
    checks.flatMap(({ name, result, detail, hint, notes = [] }) => [
      `${result.padEnd(4)}  ${name.padEnd(18)}  ${detail}`,
      ...[...notes, ...(hint ? [hint] : [])].map((line) => `${" ".repeat(26)}${line}`),
    ]),
  );
  return checks.some(({ result }) => result === "fail") ? 1 : 0;
}

const ok = (name: string, detail: string): Check => ({ name, result: "ok", detail });
const warn = (name: string, detail: string, hint: string): Check => ({ name, result: "warn", detail, hint });
const fail = (name: string, detail: string, hint: string): Check => ({ name, result: "fail", detail, hint });

function checkNode(): Check {
  return ok("node", `${process.version} at ${process.execPath}`);
}

/** The running platform's binary, otherwise the next start's. Downloads and builds nothing. */
async function checkVault({ environment }: Session, platform: PlatformFile | undefined): Promise<Check[]> {
  const name = "vault";
  try {
    if (platform) {
      const version = await vaultVersion(platform.vaultBinary);
      return [
        ok(name, `${version} at ${platform.vaultBinary}, in use`),
        checkVersion(version, platform.vaultsPassedOver ?? []),
      ];
    }
    const progress = { line: () => {}, step: notFromHere };
    const { version, source, path, passedOver } = await findVault({ env: environment.system, progress });
    return [ok(name, `${version} at ${path} (${source})`), checkVersion(version, passedOver)];
  } catch (error) {
    if (error instanceof WouldMakeOne) {
      const hint = "To use your own, set VAULT_BIN or put it on PATH";
      return [warn(name, "no Vault found; the next start downloads or builds one", hint)];
    }
    if (error instanceof VaultNotFoundError)
      return [fail(name, error.message, "Correct VAULT_BIN, or unset it")];
    return [fail(name, asFailure(error).message, "Set VAULT_BIN to a Vault that runs")];
  }
}

/** The known advisories of a version of Vault, and the Vaults that were passed over; a warning if either matters. */
export function checkVersion(version: string, passedOver: string[]): Check {
  const name = "vault version";
  const advisories = openAdvisories(version);
  const reachable = advisories.filter((advisory) => advisory.reachable === "some");
  const recommended = `${RECOMMENDED.version} of ${RECOMMENDED.released} is recommended`;
  const detail = `${version}; ${recommended}; ${advisories.length} known advisories, ${reachable.length} reachable here`;
  const notes = [
    ...passedOver.map((what) => `Not used: ${what}`),
    ...reachable.map(
      ({ id, fixedIn, weakness, because }) =>
        `${id}, fixed in ${fixedIn}: ${weakness}. Reachable by: ${because}`,
    ),
  ];
  const known = { notes, advisories };
  if (notes.length === 0) return { ...ok(name, detail), ...known };
  const hint = `To use another version, set VAULT_BIN or put it on PATH; ${RECOMMENDED.version} if you can get it`;
  return { ...warn(name, detail, hint), ...known };
}

class WouldMakeOne extends Error {}
function notFromHere(): never {
  throw new WouldMakeOne();
}

async function checkFiles({ state }: Session): Promise<Check> {
  const open = await openFiles(state);
  if (open === undefined)
    return ok("state folder", `${state.path}: does not exist yet; strongroom up creates it`);
  if (open.length === 0) return ok("state folder", `${state.path}: other users cannot read it`);
  const [first] = open;
  return fail(
    "state folder",
    `other users can read ${open.length} files, such as ${first}`,
    `chmod -R go= ${state.path}`,
  );
}

async function checkDisk({ state }: Session): Promise<Check> {
  const { bavail, bsize } = await statfs(state.path).catch(() => statfs("."));
  const free = bavail * bsize;
  const detail = `${Math.floor(free / MEBIBYTE)} MiB free`;
  const hint = "Free some space: a Vault that cannot write its audit log rejects every request";
  if (free < LOW_DISK.fail) return fail("disk", detail, hint);
  return free < LOW_DISK.warn ? warn("disk", detail, hint) : ok("disk", detail);
}

async function checkServices({ state }: Session, platform: PlatformFile): Promise<Check[]> {
  return (await serviceHealth(state, platform)).map(({ name, state: is, pid, address }) =>
    is === "healthy"
      ? ok(name, `healthy${address ? ` at ${address}` : ""}${pid ? ` (pid ${pid})` : ""}`)
      : fail(name, is, `Read its log: strongroom logs --service ${name}`),
  );
}

async function checkPorts(): Promise<Check[]> {
  const usual = [
    ["gateway", 8200],
    ["control-plane", 8280],
    ["intake", 8220],
  ] as const;
  return await Promise.all(
    usual.map(async ([name, port]) =>
      (await isFree(port))
        ? ok(name, `not running; port ${port} is free`)
        : warn(name, `not running; port ${port} is taken`, `strongroom up --${name}-port 0 uses a free one`),
    ),
  );
}

/** The control plane's clock compared with this one, and the state of its organizations. */
async function checkControlPlane(session: Session): Promise<Check[]> {
  try {
    const controlPlane = await session.controlPlane();
    const orgs = (await controlPlane.orgs()).filter(isLive);
    return [checkClock(await controlPlane.clockSkewMs()), ...checkOrgs(orgs), checkCertificates(orgs)];
  } catch (error) {
    const { message, hint } = asFailure(error);
    return [fail("organizations", message, hint ?? "Read its log: strongroom logs --service control-plane")];
  }
}

function checkClock(skewMs: number): Check {
  const detail = `${(skewMs / 1000).toFixed(1)} s off the control plane's`;
  const hint = "Synchronize it with NTP: tokens' times are checked to the second";
  if (Math.abs(skewMs) > CLOCK_MS.fail) return fail("clock", detail, hint);
  return Math.abs(skewMs) > CLOCK_MS.warn ? warn("clock", detail, hint) : ok("clock", detail);
}

function checkOrgs(orgs: OrgView[]): Check[] {
  return orgs
    .filter(
      (org) => org.state === "quarantined" || org.lastError || org.drift?.length || org.instance?.lowDisk,
    )
    .map((org) => {
      const problems = [org.lastError?.message, ...(org.drift ?? []), org.instance?.lowDisk && "low disk"];
      const detail = [org.state, ...problems.filter(Boolean)].join("; ");
      const hint = `Run: strongroom org show ${org.name}; strongroom logs ${org.name}`;
      return org.state === "quarantined"
        ? fail(`org ${org.name}`, detail, hint)
        : warn(`org ${org.name}`, detail, hint);
    });
}

function checkCertificates(orgs: OrgView[]): Check {
  const ends = orgs.flatMap(({ name, certificateNotAfter: end }) =>
    end ? [{ name, end: Date.parse(end) }] : [],
  );
  const [first] = ends.toSorted((a, b) => a.end - b.end);
  if (!first) return ok("certificates", "none yet");
  const days = (first.end - Date.now()) / DAY_MS;
  const detail = `the next to expire is ${first.name}'s, in ${days.toFixed(1)} days`;
  const hint = "The control plane should have renewed it: strongroom logs --service control-plane";
  if (days < 0) return fail("certificates", detail, hint);
  return days < CERTIFICATE_DAYS ? warn("certificates", detail, hint) : ok("certificates", detail);
}
