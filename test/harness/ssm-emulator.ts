import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * A stand-in for the four SSM operations that this project uses, so that the real AWS SDK can be tested over
 * the wire: AWS JSON 1.1, SecureStrings of one KMS key, versions, paging, errors. It checks that requests
 * carry a Signature Version 4 header of the right scope, not that the signature is right; it encrypts
 * nothing, it only refuses to show a value that is not asked for decrypted; it knows no IAM and no quotas.
 */
export interface SsmEmulator {
  endpoint: string;
  /** Requests so far: the operation and its input. */
  requests: { operation: string; input: Record<string, unknown> }[];
  /** The current version of a parameter; undefined where there is none. */
  version(name: string): number | undefined;
  /** Answers the next request with this error. */
  failNext(code: string, status?: number): void;
  /** Leaves the next requests without an answer. */
  hang(requests: number): void;
  close(): Promise<void>;
}

interface Parameter {
  value: string;
  version: number;
}

const MAX_VALUE = 4096;

export async function startSsmEmulator(keyId: string): Promise<SsmEmulator> {
  const parameters = new Map<string, Parameter>();
  const requests: SsmEmulator["requests"] = [];
  const failures: { code: string; status: number }[] = [];
  let hanging = 0;

  const operations: Record<string, (input: Record<string, unknown>) => object> = {
    PutParameter({ Name, Value, Type, KeyId, Overwrite }) {
      const name = String(Name);
      if (Type !== "SecureString") throw new Refusal("ValidationException", "only SecureString is kept here");
      if (KeyId !== keyId) throw new Refusal("InvalidKeyId", "not the customer key");
      if (String(Value).length > MAX_VALUE) throw new Refusal("ValidationException", `too long: ${Value}`);
      const old = parameters.get(name);
      if (old && Overwrite !== true) throw new Refusal("ParameterAlreadyExists", name);
      const version = (old?.version ?? 0) + 1;
      parameters.set(name, { value: String(Value), version });
      return { Version: version, Tier: "Standard" };
    },
    GetParameter({ Name, WithDecryption }) {
      return { Parameter: describe(String(Name), find(String(Name)), WithDecryption === true) };
    },
    DeleteParameter({ Name }) {
      find(String(Name));
      parameters.delete(String(Name));
      return {};
    },
    GetParametersByPath({ Path, Recursive, WithDecryption, MaxResults = 10, NextToken = "0" }) {
      if (Number(MaxResults) > 10) throw new Refusal("ValidationException", "MaxResults is 10 at most");
      if (Recursive !== true) throw new Refusal("ValidationException", "only recursive here");
      const prefix = Path === "/" ? "/" : `${Path}/`;
      const names = [...parameters.keys()].filter((name) => name.startsWith(prefix));
      const start = Number(NextToken);
      const end = start + Number(MaxResults);
      return {
        Parameters: names
          .slice(start, end)
          .map((name) => describe(name, find(name), WithDecryption === true)),
        ...(end < names.length && { NextToken: String(end) }),
      };
    },
  };

  function find(name: string): Parameter {
    const found = parameters.get(name);
    if (!found) throw new Refusal("ParameterNotFound", "");
    return found;
  }

  function describe(name: string, { value, version }: Parameter, decrypted: boolean) {
    const hidden = createHash("sha256").update(value).digest("base64");
    return { Name: name, Type: "SecureString", Value: decrypted ? value : hidden, Version: version };
  }

  async function answer(request: IncomingMessage): Promise<{ status: number; body: object }> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    try {
      const scope = /^AWS4-HMAC-SHA256 Credential=\w+\/\d{8}\/[\w-]+\/ssm\/aws4_request, SignedHeaders=/;
      if (!scope.test(request.headers.authorization ?? ""))
        throw new Refusal("IncompleteSignature", "unsigned");
      if (request.headers["content-type"] !== "application/x-amz-json-1.1") {
        throw new Refusal("SerializationException", "not AWS JSON 1.1");
      }
      const [, operation = ""] = /^AmazonSSM\.(\w+)$/.exec(String(request.headers["x-amz-target"])) ?? [];
      const input = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Record<string, unknown>;
      requests.push({ operation, input });
      const failure = failures.shift();
      if (failure) throw new Refusal(failure.code, JSON.stringify(input), failure.status);
      const run = operations[operation];
      if (!run) throw new Refusal("InvalidAction", operation);
      return { status: 200, body: run(input) };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { status: error.status, body: { __type: error.code, message: error.message } };
    }
  }

  let count = 0;
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    if (hanging > 0) {
      hanging--;
      request.resume();
      return;
    }
    void answer(request).then(({ status, body }) => {
      response.writeHead(status, {
        "content-type": "application/x-amz-json-1.1",
        "x-amzn-requestid": `request-${++count}`,
      });
      response.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    version: (name) => parameters.get(name)?.version,
    failNext: (code, status = 400) => void failures.push({ code, status }),
    hang: (number) => {
      hanging = number;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** An error as AWS answers it. */
class Refusal extends Error {
  readonly code: string;
  readonly status: number;
  constructor(code: string, message: string, status = 400) {
    super(message);
    this.code = code;
    this.status = status;
  }
}
