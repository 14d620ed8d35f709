import { givenSettings, synthesize } from "../synthesized.ts";

export const WORKERS_ACCOUNT = "210987654321";
export const FEED_ACCOUNT = "345678901234";

/** The intake's stack comes once the settings name the key, so this synthesizes twice, as one would deploy. */
function deploy() {
  const { credentials } = givenSettings();
  const accounts = {
    ...credentials,
    intakeRoleArn: "arn:aws:iam::123456789012:role/strongroom/platform/strongroom-intake",
    integration: { ...credentials.integration, account: WORKERS_ACCOUNT },
    feed: { ...credentials.feed, account: FEED_ACCOUNT },
  };
  const first = synthesize({ credentials: accounts }).deployment;
  const keyArn = first.resource("StrongroomWorkerIntegration", "AWS::KMS::Key").arn;
  const integration = { ...accounts.integration, keyArn };
  return { first, second: synthesize({ credentials: { ...accounts, integration } }).deployment };
}

const { first, second } = deploy();

/** The platform with the workers of integrations and feeds in accounts of their own, before the key is known. */
export const beforeTheKey = first;
/** The same, complete. */
export const apart = second;
