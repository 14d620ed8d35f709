import { isLive } from "../../shared/api/org-states.ts";
import type { OrgView } from "../../shared/api/orgs.ts";
import type { CliCommand } from "../command.ts";
import { asFailure } from "../failure.ts";
import { table } from "../output.ts";
import { type ServiceHealth, serviceHealth } from "../platform/service-health.ts";
import type { Session } from "../session.ts";
import { vaultVersion } from "../vault-binary/inspect.ts";
import { openAdvisories, RECOMMENDED } from "../vault-binary/versions.ts";
import { orgTable } from "./org.ts";

export const statusCommand: CliCommand = {
  declare() {},
  run: status,
};

/** `strongroom status`: the services of this machine's platform, and every live organization. */
async function status(session: Session): Promise<number> {
  const { out, state } = session;
  const platform = session.environment.STRONGROOM_URL ? undefined : await session.local("status");
  const services = platform ? await serviceHealth(state, platform) : [];
  const vault = platform && (await vaultOf(platform.vaultBinary));
  // The services are worth showing even if the control plane is down.
  const { orgs, failure } = await organizations(session);
  out.data({ ...(platform && { platform, services, vault }), orgs: orgs ?? null }, () => [
    ...(platform
      ? [
          `Platform on ${platform.state} (${platform.pid ? `pid ${platform.pid}` : "in containers"})`,
          "",
          ...serviceTable(services),
          "",
          `Vault ${vault?.version ?? "of an unknown version"}: ${vault?.advisories.length ?? "?"} known advisories; ${RECOMMENDED.version} is recommended (strongroom doctor)`,
          "",
        ]
      : []),
    ...(orgs?.length ? orgTable(orgs) : []),
  ]);
  if (orgs?.length === 0)
    out.note("No organizations. Create one: strongroom org create NAME --claim ID --wait");
  if (failure) out.failure(failure);
  return failure || services.some((service) => service.state !== "healthy") ? 1 : 0;
}

/** The version of the platform's Vault binary; undefined if it cannot be run. */
async function vaultOf(binary: string) {
  const version = await vaultVersion(binary).catch(() => undefined);
  if (version === undefined) return undefined;
  const advisories = openAdvisories(version).map(({ id }) => id);
  return { version, recommended: RECOMMENDED.version, advisories };
}

async function organizations(session: Session) {
  try {
    const orgs: OrgView[] = await (await session.controlPlane()).orgs();
    return { orgs: orgs.filter(isLive) };
  } catch (error) {
    return { failure: asFailure(error) };
  }
}

function serviceTable(services: ServiceHealth[]): string[] {
  return table(
    ["SERVICE", "STATE", "PID", "ADDRESS"],
    services.map(({ name, state, pid, address }) => [name, state, pid ? String(pid) : "-", address ?? "-"]),
  );
}
