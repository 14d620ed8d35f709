import { join } from "node:path";
import { writeFileAtomic } from "../shared/files.ts";
import type { InstanceSpec } from "../shared/instance-spec.ts";
import type { ParameterStore } from "../shared/parameters/store.ts";
import type { Secret } from "../shared/secret.ts";

/**
 * Resolves a spec's secrets: writes file secrets (0600) and the spec's other files into the instance's folder, and
 * returns environment secrets by variable. If a parameter is missing, it throws and writes nothing.
 */
export async function resolveSecrets(
  spec: InstanceSpec,
  dir: string,
  parameters: ParameterStore,
): Promise<Record<string, Secret>> {
  const environment: Record<string, Secret> = {};
  const files: { path: string; value: Secret }[] = [];
  for (const secret of spec.secrets) {
    const value = await parameters.get(secret.parameter);
    if (!value) throw new Error(`the parameter ${secret.parameter} is missing`);
    if ("environment" in secret) environment[secret.environment] = value;
    else files.push({ path: join(dir, secret.file), value });
  }
  for (const { file, content } of spec.files ?? []) await writeFileAtomic(join(dir, file), content);
  for (const { path, value } of files) await writeFileAtomic(path, value.reveal());
  return environment;
}
