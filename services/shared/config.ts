import { readFileSync } from "node:fs";
import { type Static, type TObject, Type } from "typebox";
import { Value } from "typebox/value";
import { Secret } from "./secret.ts";

/** A setting is wrong. The message names the setting and what is expected, never the value. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/**
 * Reads a service's settings from an environment by a strict schema whose keys are the variables' names. Numbers and
 * booleans are converted. Throws {@link ConfigError} with a line for each unknown `STRONGROOM_*` name and each missing
 * or malformed value.
 */
export function readConfig<T extends TObject>(env: Record<string, string | undefined>, schema: T): Static<T> {
  const problems: string[] = [];
  const known = Object.keys(schema.properties);
  for (const name of Object.keys(env)) {
    if (name.startsWith("STRONGROOM_") && !known.includes(name)) {
      problems.push(`${name}: unknown setting. Known settings: ${known.join(", ")}`);
    }
  }
  const given: Record<string, unknown> = {};
  for (const name of known) if (env[name] !== undefined && env[name] !== "") given[name] = env[name];
  const value = Value.Default(schema, Value.Convert(schema, given)) as Record<string, unknown>;
  for (const error of Value.Errors(schema, value)) {
    const missing = (error.params as { requiredProperties?: string[] }).requiredProperties;
    const name = error.instancePath.split("/")[1];
    if (missing) for (const each of missing) problems.push(`${each}: missing. ${describe(schema, each)}`);
    else if (name) problems.push(`${name}: ${error.message}. ${describe(schema, name)}`);
  }
  if (problems.length > 0) throw new ConfigError([...new Set(problems)].join("\n"));
  return value as Static<T>;
}

function describe(schema: TObject, name: string): string {
  const property = schema.properties[name] as { description?: string } | undefined;
  return property?.description ?? "";
}

/** A `*_FILE` setting: the path of a file that holds a secret. */
export const SecretFile = (description: string) =>
  Type.String({ minLength: 1, description: `${description} (path of a file)` });

/** Reads the secret that a `*_FILE` setting names, without surrounding white space. Throws {@link ConfigError}. */
export function readSecretFile(path: string, setting: string): Secret {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new ConfigError(`${setting}: cannot read ${path} (${(error as NodeJS.ErrnoException).code})`);
  }
  if (text === "") throw new ConfigError(`${setting}: ${path} is empty`);
  return new Secret(text);
}

/** Reads the file of a `*_FILE` setting without a secret. Throws {@link ConfigError}. */
export function readSettingFile(path: string, setting: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(`${setting}: cannot read ${path} (${(error as NodeJS.ErrnoException).code})`);
  }
}
