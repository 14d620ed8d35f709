import { type Static, Type } from "typebox";
import type { RateLimits } from "../aws/rates.ts";
import { ConfigError } from "../config.ts";
import { localParameterStore } from "./local.ts";
import type { ParameterStore } from "./store.ts";

/** The settings by which a service says where parameters lie; part of its own schema. */
export const parameterSettings = {
  STRONGROOM_PARAMETERS: Type.String({
    pattern: "^(local:.+|ssm)$",
    description: "Where parameters lie: local:FOLDER (0600 files) or ssm (AWS SecureStrings)",
  }),
  STRONGROOM_SSM_KEY_ID: Type.Optional(
    Type.String({ minLength: 1, description: "The customer KMS key for SecureStrings; needed with ssm" }),
  ),
  STRONGROOM_SSM_REGION: Type.Optional(
    Type.String({ minLength: 1, description: "The AWS Region; the SDK's own default unless given" }),
  ),
  STRONGROOM_SSM_ENDPOINT: Type.Optional(
    Type.String({ pattern: "^https?://", description: "An endpoint in place of AWS's own" }),
  ),
};

const Settings = Type.Object(parameterSettings);

/** The store that the settings name. ConfigError where they contradict each other. */
export async function parameterStore(
  settings: Static<typeof Settings>,
  limits?: RateLimits,
): Promise<ParameterStore> {
  const [kind, folder] = settings.STRONGROOM_PARAMETERS.split(/:(.*)/s);
  if (kind === "local" && folder) return localParameterStore(folder);
  const keyId = settings.STRONGROOM_SSM_KEY_ID;
  if (!keyId) throw new ConfigError("STRONGROOM_SSM_KEY_ID: missing. It names the customer KMS key for ssm");
  // Loading the AWS SDK takes longer than all else at a service's start.
  const { ssmParameterStore } = await import("./ssm.ts");
  return ssmParameterStore({
    keyId,
    ...(limits && { limits }),
    ...(settings.STRONGROOM_SSM_REGION && { region: settings.STRONGROOM_SSM_REGION }),
    ...(settings.STRONGROOM_SSM_ENDPOINT && { endpoint: settings.STRONGROOM_SSM_ENDPOINT }),
  });
}
