import { readFileSync } from "node:fs";
import { readSecretFile } from "../shared/config.ts";
import type { Secret } from "../shared/secret.ts";
import { ControlPlane } from "./control-plane-client.ts";
import { Failure } from "./failure.ts";
import { mintOperatorToken } from "./identity-provider.ts";
import type { Output } from "./output.ts";
import { type PlatformFile, StateFolder } from "./platform/state-folder.ts";
import type { Environment } from "./settings.ts";

/** Operators' tokens expire after 15 minutes; a long command gets a new one before that. */
const OPERATOR_TOKEN_KEPT_MS = 10 * 60_000;

/** The context of a command: the platform and the output. */
export class Session {
  readonly out: Output;
  readonly environment: Environment;
  readonly state: StateFolder;

  constructor(out: Output, environment: Environment, stateOption: string | undefined) {
    this.out = out;
    this.environment = environment;
    this.state = new StateFolder(stateOption ?? environment.STRONGROOM_STATE);
  }

  /** The platform that runs on this machine. Failure `unavailable` if none runs here or STRONGROOM_URL is set. */
  async local(command: string): Promise<PlatformFile> {
    if (this.environment.STRONGROOM_URL) {
      throw new Failure(
        "unavailable",
        `${command} needs the platform's state folder, but STRONGROOM_URL selects a platform on another machine`,
        "Unset STRONGROOM_URL to use the platform on this machine",
      );
    }
    const platform = await this.state.platform();
    if (platform) return platform;
    throw new Failure(
      "unavailable",
      `No platform is running with the state folder ${this.state.path}`,
      "Start one with `strongroom up` (or `npm start`), or pass its state folder with --state DIR",
    );
  }

  /** The control plane: the one at STRONGROOM_URL, or this machine's. */
  async controlPlane(): Promise<ControlPlane> {
    const { STRONGROOM_URL: url, STRONGROOM_TOKEN_FILE: file } = this.environment;
    if (!url) {
      const platform = await this.local("this command");
      return new ControlPlane(platform.controlPlane, operatorTokens(platform.identityProvider));
    }
    if (!file) {
      throw new Failure(
        "config",
        "STRONGROOM_URL is set, but STRONGROOM_TOKEN_FILE is not",
        "Write an operator's token for that platform to a file (mode 0600) and set STRONGROOM_TOKEN_FILE to its path",
      );
    }
    return new ControlPlane(url, async () => readSecretFile(file, "STRONGROOM_TOKEN_FILE"));
  }
}

/** Operators' tokens of the local identity provider, cached until shortly before they expire. */
export function operatorTokens(identityProvider: string): () => Promise<Secret> {
  let held: { token: Promise<Secret>; since: number } | undefined;
  return async () => {
    if (!held || performance.now() - held.since > OPERATOR_TOKEN_KEPT_MS) {
      held = { token: mintOperatorToken(identityProvider), since: performance.now() };
    }
    try {
      return await held.token;
    } catch (error) {
      held = undefined;
      throw error;
    }
  };
}

/** The version in this package's own file. */
export const VERSION: string = JSON.parse(
  readFileSync(new URL("./package.json", import.meta.url), "utf8"),
).version;
