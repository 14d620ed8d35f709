import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  MEMORY_ENVIRONMENT,
  MEMORY_FLAGS,
  permissionFlags,
} from "../../services/cli/platform/worker-flags.ts";
import type { Kind } from "../../services/shared/work/kinds.ts";
import type { DirectoryServer } from "./directory.ts";
import type { Command } from "./part.ts";

const TOP = fileURLToPath(new URL("../..", import.meta.url));
const INTAKE_MAIN = join(TOP, "services/intake/main.ts");
const WORKER_MAIN = join(TOP, "services/worker/main.ts");
const WORKER_CODE = ["services", "node_modules", "package.json"].map((name) => join(TOP, name));

interface LoginFiles {
  roleIdFile: string;
  secretIdFile: string;
}

/** What the control plane publishes, and the folder with its public keys and with the service's copies. */
export interface PublishedPlaces {
  directoryServer: Pick<DirectoryServer, "url" | "revocationsUrl">;
  folder: string;
}

const loginSettings = (vault: string, { roleIdFile, secretIdFile }: LoginFiles) => ({
  STRONGROOM_INTERNAL_VAULT_ADDR: vault,
  STRONGROOM_ROLE_ID_FILE: roleIdFile,
  STRONGROOM_SECRET_ID_FILE: secretIdFile,
});

/** Starts an intake as `strongroom up` does, without limits. */
export function intakeCommand(options: {
  listen: string;
  published: PublishedPlaces;
  storeFile: string;
  queues(kind: Kind): string;
  login: LoginFiles;
  vault: string;
  ports: number[];
  settings: Record<string, string>;
}): Command {
  const { listen, published, storeFile, queues, login, vault, ports, settings } = options;
  return {
    args: ["--disable-sigusr1", ...MEMORY_FLAGS, INTAKE_MAIN],
    env: {
      ...MEMORY_ENVIRONMENT,
      PATH: "/usr/bin:/bin",
      NODE_COMPILE_CACHE: join(published.folder, "compile-cache"),
      STRONGROOM_LISTEN: listen,
      ...publishedSettings(published),
      STRONGROOM_ADDRESS_LIMIT: "0",
      STRONGROOM_ORG_LIMIT: "0",
      ...loginSettings(vault, login),
      STRONGROOM_STORE: `sqlite:${storeFile}`,
      STRONGROOM_INTEGRATION_KEY: "transit:integration",
      STRONGROOM_WEBHOOK_KEY: "transit:webhook",
      STRONGROOM_BROKER_KEY: "transit:broker",
      STRONGROOM_RECEIPTS_KEY: "transit:receipts",
      STRONGROOM_INTEGRATION_QUEUES: `local:${queues("integration")}`,
      STRONGROOM_WEBHOOK_QUEUES: `local:${queues("webhook")}`,
      STRONGROOM_FEED_QUEUES: `local:${queues("feed")}`,
      STRONGROOM_BROKER_QUEUES: `local:${queues("broker")}`,
      STRONGROOM_DESTINATION_PORTS: [443, 8443, ...ports].join(),
      ...settings,
    },
  };
}

/** The settings by which a service verifies what the control plane publishes. */
const publishedSettings = ({ directoryServer, folder }: PublishedPlaces, copies = folder) => ({
  STRONGROOM_DIRECTORY_URL: directoryServer.url,
  STRONGROOM_DIRECTORY_KEY_FILE: join(folder, "directory-key.pem"),
  STRONGROOM_OWNERSHIP_KEY_FILE: join(folder, "ownership-key.pem"),
  STRONGROOM_DIRECTORY_COPY: join(copies, "directory.jws"),
  STRONGROOM_REVOCATIONS_URL: directoryServer.revocationsUrl,
  STRONGROOM_REVOCATIONS_COPY: join(copies, "revocations.jws"),
});

/** Starts a worker under Node's permission model and with no environment but its settings. */
export function workerCommand(options: {
  kind: Kind;
  queues: string;
  /** The file of the operator's exceptions. */
  exceptions?: string;
  login?: LoginFiles;
  vault?: string;
  /** For kind `broker`: its folder, in which `published/` is for its copies. */
  published?: PublishedPlaces;
  settings: Record<string, string>;
  program?: string[];
  environment?: Record<string, string>;
  nodeFlags?: string[];
  /** Without Node's permission model. */
  unconfined?: boolean;
}): Command {
  const { kind, queues, exceptions, login, vault, published, settings, program = [WORKER_MAIN] } = options;
  const code = program[0] === WORKER_MAIN ? WORKER_CODE : [...WORKER_CODE, join(TOP, "test")];
  const files = [
    ...(exceptions ? [exceptions] : []),
    ...(login ? [login.roleIdFile, login.secretIdFile] : []),
    ...(published ? [published.folder] : []),
  ];
  const copies = published && join(published.folder, "published");
  return {
    args: [
      ...(options.unconfined ? [] : permissionFlags({ code, queues, files, ...(copies && { copies }) })),
      ...MEMORY_FLAGS,
      ...(options.nodeFlags ?? []),
      ...program,
    ],
    env: {
      ...MEMORY_ENVIRONMENT,
      STRONGROOM_KIND: kind,
      STRONGROOM_QUEUES: `local:${queues}`,
      ...(exceptions && { STRONGROOM_PRIVATE_DESTINATIONS_FILE: exceptions }),
      ...(login && vault && { ...loginSettings(vault, login), STRONGROOM_KEY: `transit:${kind}` }),
      ...(published && publishedSettings(published, copies)),
      ...settings,
      ...options.environment,
    },
  };
}
