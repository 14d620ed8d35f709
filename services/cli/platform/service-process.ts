import { fileURLToPath } from "node:url";
import { writeFileAtomic } from "../../shared/files.ts";
import { poll } from "../../shared/poll.ts";
import { Supervisor } from "../../shared/process/supervise.ts";
import { Failure } from "../failure.ts";
import { answersHealthy } from "./service-health.ts";
import type { ServiceName, StateFolder } from "./state-folder.ts";

const READY_MS = 30_000;
const POLL_MS = 50;
const STARTS_AT_MOST = 4;
const WRONG_SETTING = 78;
/** The agent stops its Vaults before it exits; the others finish their open requests. */
const GRACE_MS: Partial<Record<ServiceName, number>> = { "control-plane": 8_000, agent: 30_000 };
/** A worker that is ended sooner than its jobs leaves them to the next one. */
const USUAL_GRACE_MS = 6_000;

export interface ServiceSettings {
  /** The address that it will listen on, if any. */
  address?: string;
  /** Whether it answers, if that is not by its address over HTTP. */
  answers?: () => Promise<boolean>;
  /** Its `STRONGROOM_*` variables; none of them is a secret. */
  settings: Record<string, string>;
  /** Flags of Node. */
  flags?: string[];
  /** Variables that are no settings. */
  environment?: Record<string, string>;
  /** Its only folder, if it gets none of the platform's others: no home and no compile cache, which others run from. */
  ownFolder?: string;
  /** It ends itself with status 0 after a while, to be started again. */
  endsItself?: boolean;
}

/** A core file would hold whatever a service holds. The shell becomes the program that its arguments name. */
const WITHOUT_CORE_FILES = 'ulimit -c 0; exec "$0" "$@"';

/** The folder of `services/` with a service's source: one program is all kinds of workers. */
export const sourceFolder = (name: ServiceName): string => (name.startsWith("worker-") ? "worker" : name);

/** One of the platform's own services as a supervised process of this machine. */
export class Service {
  readonly name: ServiceName;
  readonly #answers: (() => Promise<boolean>) | undefined;
  readonly #settings: Record<string, string>;
  readonly #state: StateFolder;
  readonly #supervisor: Supervisor;

  constructor(
    name: ServiceName,
    { state, compileCache }: { state: StateFolder; compileCache: string },
    {
      address,
      answers,
      settings,
      flags = [],
      environment = {},
      ownFolder,
      endsItself = false,
    }: ServiceSettings,
    onEvent: (text: string) => void,
  ) {
    this.name = name;
    this.#state = state;
    this.#answers = answers ?? (address === undefined ? undefined : () => answersHealthy(name, address));
    this.#settings = settings;
    const main = fileURLToPath(new URL(`../../${sourceFolder(name)}/main.ts`, import.meta.url));
    this.#supervisor = new Supervisor({
      prepare: async () => ({
        command: "/bin/sh",
        args: [
          ...["-c", WITHOUT_CORE_FILES, process.execPath],
          ...[...flags, `--env-file=${state.envFile(name)}`, main],
        ],
        environment: {
          ...environment,
          PATH: "/usr/local/bin:/usr/bin:/bin",
          HOME: ownFolder ?? state.path,
          ...(!ownFolder && { NODE_COMPILE_CACHE: compileCache }),
        },
        folder: ownFolder ?? state.path,
      }),
      marker: state.envFile(name),
      recordFile: state.processFile(name),
      logFile: state.logFile(name),
      graceMs: GRACE_MS[name] ?? USUAL_GRACE_MS,
      endsItself,
      explain: crashReason,
      onChange: (now) => {
        if (now.state === "backoff") onEvent(`${name}: ${now.reason}; restarting`);
      },
    });
  }

  /** Starts it and waits until it is ready. Otherwise throws Failure `unavailable` with the service's own error. */
  async start(signal: AbortSignal): Promise<void> {
    await writeFileAtomic(this.#state.envFile(this.name), envFile(this.#settings));
    this.#supervisor.start();
    /** Whether it is ready; undefined while it may become so. */
    const isReady = async () => {
      const { state, exitCode, reason, starts } = this.#supervisor.state;
      const ready = this.#answers ? await this.#answers() : state === "running";
      if (ready && state === "running") return true;
      const hopeless = exitCode === WRONG_SETTING || (reason !== undefined && starts >= STARTS_AT_MOST);
      return hopeless ? false : undefined;
    };
    if (await poll(isReady, { everyMs: POLL_MS, withinMs: READY_MS, signal })) return;
    const { reason } = this.#supervisor.state;
    throw new Failure(
      "unavailable",
      `The ${this.name} did not become ready${reason ? `: ${reason}` : ` within ${READY_MS / 1000} s`}`,
      `Read its log: ${this.#state.logFile(this.name)}`,
    );
  }

  /** Ends it, gracefully, and starts it again, with its code as it is by then. */
  async restart(): Promise<void> {
    await this.#supervisor.restart();
  }

  async stop(): Promise<void> {
    await this.#supervisor.stop();
  }
}

/** The final error of a Node program: an uncaught one, or those in its settings. */
function crashReason(log: string): string | undefined {
  const plain = log.split("\n").filter((line) => line !== "" && !/^(\{|\s|Node\.js v)/.test(line));
  return plain.findLast((line) => /^\w*Error\b/.test(line)) ?? plain.join("; ").slice(0, 400);
}

/** The format of `node --env-file`. Single quotes make the value literal. */
function envFile(settings: Record<string, string>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${quoted(name, value)}\n`)
    .join("");
}

function quoted(name: string, value: string): string {
  for (const quote of ["'", "`", '"']) {
    if (!value.includes(quote) && !value.includes("\n")) return `${quote}${value}${quote}`;
  }
  throw new Failure(
    "config",
    `${name}: its value contains all three kinds of quotes, or a line break`,
    "Choose a state folder without them in its path: --state DIR",
  );
}
