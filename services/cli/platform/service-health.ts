import { isSame, readProcessRecord } from "../../shared/process/recorded-process.ts";
import { brokerAnswers } from "./broker-health.ts";
import { type PlatformFile, SERVICES, type StateFolder } from "./state-folder.ts";

const TIMEOUT_MS = 2_000;

const BROKER = "worker-broker";

/** The current state of one part of the platform. */
export interface ServiceHealth {
  name: string;
  state: "healthy" | "unhealthy" | "not running";
  pid?: number;
  address?: string;
}

/**
 * The health endpoint of each part. The agent and the workers but the broker have none, so only their processes can be
 * checked.
 */
const HEALTH_PATHS: Record<string, string> = {
  "internal-vault": "/v1/sys/health",
  "identity-provider": "/health",
  "control-plane": "/v1/ready",
  gateway: "/v1/sys/health",
  intake: "/v1/ready",
};

/** Whether the part at the address reports that it is ready. */
export async function answersHealthy(name: string, address: string): Promise<boolean> {
  const path = HEALTH_PATHS[name];
  const answer = await fetch(`${address}${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(
    () => undefined,
  );
  await answer?.body?.cancel();
  return answer?.ok === true;
}

/** Every part of the platform, the internal Vault first. In containers, only the parts with an address. */
export async function serviceHealth(state: StateFolder, platform: PlatformFile): Promise<ServiceHealth[]> {
  const addresses: Record<string, string> = {
    "internal-vault": platform.internalVault,
    "identity-provider": platform.identityProvider,
    "control-plane": platform.controlPlane,
    gateway: platform.gateway,
    intake: platform.intake,
    ...(platform.broker && { [BROKER]: platform.broker }),
  };
  const names = [
    "internal-vault",
    ...SERVICES.filter((name) => name !== "demo-provider" || platform.demoProvider),
  ];
  const inContainers = platform.pid === undefined;
  return await Promise.all(
    names
      .filter((name) => !inContainers || addresses[name])
      .map(async (name): Promise<ServiceHealth> => {
        const address = addresses[name];
        if (inContainers && address) {
          return { name, state: (await answersHealthy(name, address)) ? "healthy" : "unhealthy", address };
        }
        const record = await readProcessRecord(state.processFile(name));
        if (!record || !(await isSame(record, record.marker))) {
          return { name, state: "not running", ...(address && { address }) };
        }
        const healthy =
          !address ||
          (name === BROKER ? await brokerAnswers(state, address) : await answersHealthy(name, address));
        return {
          name,
          state: healthy ? "healthy" : "unhealthy",
          pid: record.pid,
          ...(address && { address }),
        };
      }),
  );
}
