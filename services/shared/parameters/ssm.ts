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
  /** The customer-managed KMS key; AWS's own `aws/ssm` would decrypt for everyone in the account. */
  keyId: string;
  region?: string;
  /** `http(s)://…` instead of AWS's own. */
  endpoint?: string;
  /** Default: the SDK's provider chain. */
  credentials?: NonNullable<SSMClientConfig["credentials"]>;
  /** Timeout of one attempt; there are at most three. */
  requestTimeoutMs?: number;
  /** The account's rate limits. */
  limits?: RateLimits;
}

const ATTEMPTS = 3;
/** The organization's id for the tag, from `<prefix>/orgs/<id>/…`. */
const ORG_IN_NAME = /\/orgs\/([a-z0-9]+)\/[^/]+$/;
/** More than any platform's parameters need; bounds an endpoint that pages forever. */
const MAX_PAGES = 1_000;

/**
 * Parameters as SSM SecureStrings. Errors are {@link AwsError}. AWS allows an account 40 reads per second unless
 * "higher throughput" is enabled: reading 10,000 parameters is spread over the starts of tasks, not done here.
 */
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
      // AWS's message may repeat parts of an invalid value.
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
      // SSM accepts tags only for a new parameter. An existing one keeps its tags and gets a new version.
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
