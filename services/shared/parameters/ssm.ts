import {
  DeleteParameterCommand,
  GetParameterCommand,
  GetParametersByPathCommand,
  ParameterAlreadyExists,
  ParameterNotFound,
  PutParameterCommand,
  SSMClient,
  type SSMClientConfig,
} from "@aws-sdk/client-ssm";
import { AwsError, awsError } from "../aws/aws-error.ts";
import { clientSettings } from "../aws/client-settings.ts";
import { ORG_TAG } from "../aws/names.ts";
import type { RateLimits } from "../aws/rates.ts";
import { Secret } from "../secret.ts";
import { checkParameterName, type ParameterStore } from "./store.ts";

export interface SsmOptions {
  /** The customer KMS key that encrypts; AWS's own `aws/ssm` would decrypt for everyone in the account. */
  keyId: string;
  region?: string;
  /** `http(s)://…` in place of AWS's own. */
  endpoint?: string;
  /** Where not the SDK's usual chain. */
  credentials?: NonNullable<SSMClientConfig["credentials"]>;
  /** Of one attempt, of three at most. */
  requestTimeoutMs?: number;
  /** The account's rates to keep to. */
  limits?: RateLimits;
}

const ATTEMPTS = 3;
/** Where the tag comes from: `<prefix>/orgs/<id>/…`. */
const ORG_IN_NAME = /\/orgs\/([a-z0-9]+)\/[^/]+$/;
/** More than any platform has parameters, and a bound where an endpoint pages for ever. */
const MAX_PAGES = 1_000;

/** Parameters as SSM SecureStrings. Errors are {@link AwsError}. An account answers 40 reads a second
 * until "higher throughput" is turned on for it: 10,000 parameters are read by that many tasks' starts, not here. */
export function ssmParameterStore(options: SsmOptions): ParameterStore {
  const client = new SSMClient({
    ...(options.region && { region: options.region }),
    ...(options.endpoint && { endpoint: options.endpoint }),
    ...(options.credentials && { credentials: options.credentials }),
    ...clientSettings(ATTEMPTS, options.requestTimeoutMs),
  });
  options.limits?.limit("SSM", client);

  const call = async <T>(operation: string, send: () => Promise<T>): Promise<T> => {
    try {
      return await send();
    } catch (error) {
      // AWS repeats in its message what it does not like about a value.
      throw awsError(`SSM ${operation}`, error, { withMessage: false });
    }
  };

  return {
    async put(name, value) {
      const Name = checkParameterName(name);
      const parameter = {
        Name,
        Value: value.reveal(),
        Type: "SecureString" as const,
        KeyId: options.keyId,
      };
      const org = ORG_IN_NAME.exec(name)?.[1];
      // SSM takes tags only with a new parameter. An old one keeps its tags, and its value becomes a version.
      const Tags = org ? [{ Key: ORG_TAG, Value: org }] : [];
      await call(`PutParameter ${name}`, async () => {
        try {
          await client.send(new PutParameterCommand({ ...parameter, Tags, Overwrite: false }));
        } catch (error) {
          if (!(error instanceof ParameterAlreadyExists)) throw error;
          await client.send(new PutParameterCommand({ ...parameter, Overwrite: true }));
        }
      });
    },

    async get(name) {
      const Name = checkParameterName(name);
      const value = await call(`GetParameter ${name}`, async () => {
        const found = await ifFound(client.send(new GetParameterCommand({ Name, WithDecryption: true })));
        return found?.Parameter?.Value;
      });
      return value === undefined ? undefined : new Secret(value);
    },

    async delete(name) {
      const Name = checkParameterName(name);
      await call(`DeleteParameter ${name}`, () => ifFound(client.send(new DeleteParameterCommand({ Name }))));
    },

    async list(prefix) {
      const names: string[] = [];
      let NextToken: string | undefined;
      for (let page = 0; page < MAX_PAGES; page++) {
        const answer = await call(`GetParametersByPath ${prefix}`, () =>
          client.send(
            new GetParametersByPathCommand({
              Path: prefix.replace(/(?<=.)\/$/, ""),
              Recursive: true,
              WithDecryption: false,
              MaxResults: 10,
              ...(NextToken && { NextToken }),
            }),
          ),
        );
        for (const { Name } of answer.Parameters ?? []) if (Name) names.push(Name);
        NextToken = answer.NextToken;
        if (!NextToken) return names.sort();
      }
      throw new AwsError(`SSM GetParametersByPath ${prefix}`, "TooManyPages");
    },
  };
}

async function ifFound<T>(sent: Promise<T>): Promise<T | undefined> {
  try {
    return await sent;
  } catch (error) {
    if (error instanceof ParameterNotFound) return undefined;
    throw error;
  }
}
