import {
  DeleteParameterCommand,
  GetParameterCommand,
  GetParametersByPathCommand,
  ParameterNotFound,
  PutParameterCommand,
  SSMClient,
  type SSMClientConfig,
} from "@aws-sdk/client-ssm";
import { Secret } from "../secret.ts";
import { checkParameterName, type ParameterStore } from "./store.ts";

/** SSM refused or did not answer. Holds AWS's code and request id, nothing of the request or the value. */
export class SsmError extends Error {
  override name = "SsmError";
  /** AWS's name of the error, as `AccessDeniedException`, or the network's, as `ECONNREFUSED`. */
  readonly code: string;
  readonly requestId: string | undefined;

  constructor(operation: string, code: string, requestId: string | undefined) {
    super(`SSM ${operation}: ${code}${requestId ? ` (request ${requestId})` : ""}`);
    this.code = code;
    this.requestId = requestId;
  }
}

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
}

const ATTEMPTS = 3;
const CONNECTION_TIMEOUT_MS = 2_000;
const REQUEST_TIMEOUT_MS = 5_000;
/** More than any platform has parameters, and a bound where an endpoint pages for ever. */
const MAX_PAGES = 1_000;

/** Parameters as SSM SecureStrings. Errors are {@link SsmError}. */
export function ssmParameterStore(options: SsmOptions): ParameterStore {
  const requestTimeout = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
  const client = new SSMClient({
    ...(options.region && { region: options.region }),
    ...(options.endpoint && { endpoint: options.endpoint }),
    ...(options.credentials && { credentials: options.credentials }),
    maxAttempts: ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout,
      // Without it the SDK only logs a warning and waits on.
      throwOnRequestTimeout: true,
      socketTimeout: requestTimeout,
    },
  });

  const call = async <T>(operation: string, send: () => Promise<T>): Promise<T> => {
    try {
      return await send();
    } catch (error) {
      throw withoutRequest(operation, error);
    }
  };

  return {
    async put(name, value) {
      const Name = checkParameterName(name);
      await call(`PutParameter ${name}`, () =>
        client.send(
          new PutParameterCommand({
            Name,
            Value: value.reveal(),
            Type: "SecureString",
            KeyId: options.keyId,
            Overwrite: true,
          }),
        ),
      );
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
      throw new SsmError(`GetParametersByPath ${prefix}`, "TooManyPages", undefined);
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

function withoutRequest(operation: string, error: unknown): SsmError {
  const { name, code, $metadata } = error as {
    name?: string;
    code?: string;
    $metadata?: { requestId?: string };
  };
  return new SsmError(operation, code ?? name ?? "unknown", $metadata?.requestId);
}
