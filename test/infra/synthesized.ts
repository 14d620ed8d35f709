import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App } from "aws-cdk-lib";
import { readSettings, type Settings } from "../../infra/cdk/settings.ts";
import { strongroom } from "../../infra/cdk/strongroom.ts";
import { Deployment, type Template } from "./deployment.ts";

const { context } = JSON.parse(readFileSync(new URL("../../cdk.json", import.meta.url), "utf8")) as {
  context: Record<string, unknown>;
};

/** The settings that the checkout comes with. */
export const givenSettings = () => readSettings(context.strongroom);

/** The stacks by the checkout's own cdk.json, as constructs and as templates; nothing is left on disk. */
export function synthesize(changed: Partial<Settings> = {}) {
  const outdir = mkdtempSync(join(tmpdir(), "strongroom-synth-"));
  try {
    const app = new App({ context, outdir });
    const stacks = strongroom(app, { ...givenSettings(), ...changed });
    const assembly = app.synth();
    const templates = Object.fromEntries(
      assembly.stacks.map(({ stackName, template }) => [stackName, template as Template]),
    );
    const accounts = Object.fromEntries(
      assembly.stacks
        .filter(({ environment }) => environment.account !== "unknown-account")
        .map(({ stackName, environment }) => [stackName, environment.account]),
    );
    return { app, stacks, deployment: new Deployment(templates, accounts) };
  } finally {
    rmSync(outdir, { recursive: true });
  }
}
