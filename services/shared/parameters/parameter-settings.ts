import { type Static, Type } from "typebox";
import type { RateLimits } from "../aws/rates.ts";
import { ConfigError } from "../config.ts";
import { localParameterStore } from "./local.ts";
import type { ParameterStore } from "./store.ts";

/** The settings of a service's parameter store, part of its own schema. */
export const parameterSettings = {
  STRONGROOM_PARAMETERS: Type.String({
    pattern: "^(local:.+|ssm)$",
    description: "Store of parameters: local:FOLDER (0600 files) or ssm (AWS SecureStrings)",
  }),
  STRONGROOM_SSM_KEY_ID: Type.Optional(
    Type.String({
      minLength: 1,
      description: "Customer-managed KMS key for SecureStrings; required with ssm",
    }),
  ),
  STRONGROOM_SSM_REGION: Type.Optional(
    Type.String({ minLength: 1, description: "AWS Region (default: the SDK's)" }),
  ),
  STRONGROOM_SSM_ENDPOINT: Type.Optional(
    Type.String({ pattern: "^https?://", description: "Endpoint instead of AWS's own" }),
  ),
};

const Settings = Type.Object(parameterSettings);

/** The store of the settings. Throws ConfigError if they contradict each other. */
export async function parameterStore(
  settings: Static<typeof Settings>,
  limits?: RateLimits,
): Promise<ParameterStore> {
  const [kind, folder] = settings.STRONGROOM_PARAMETERS.split(/:(.*)/s);
  if (kind === "local" && folder) return localParameterStore(folder);
  const keyId = settings.STRONGROOM_SSM_KEY_ID;
  if (!keyId)
    throw new ConfigError(
      "STRONGROOM_SSM_KEY_ID: missing; STRONGROOM_PARAMETERS=ssm requires a customer-managed KMS key",
    );
  // Loaded only here: the AWS SDK takes longer to load than everything else.
  const { ssmParameterStore } = await import("./ssm.ts");
  return ssmParameterStore({
    keyId,
    ...(limits && { limits }),
    ...(settings.STRONGROOM_SSM_REGION && { region: settings.STRONGROOM_SSM_REGION }),
    ...(settings.STRONGROOM_SSM_ENDPOINT && { endpoint: settings.STRONGROOM_SSM_ENDPOINT }),
  });
}
