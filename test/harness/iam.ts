import { request } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  DeleteAccessKeyCommand,
  IAMClient,
  ListAccessKeysCommand,
  PutUserPolicyCommand,
} from "@aws-sdk/client-iam";
import { selfSignedCertificate } from "../../services/cli/platform/self-signed-certificate.ts";
import type { BrokerPolicy } from "../../services/shared/broker/policy.ts";
import { connectByTcp } from "../../services/worker/outbound/dial.ts";
import type { Outside } from "../../services/worker/outbound/exchange.ts";
import type { Moto } from "./aws/install-moto.ts";
import { startMoto } from "./aws/moto.ts";

const ORIGIN = "https://iam.amazonaws.com";

/** IAM, emulated, behind TLS under its own name. */
export interface Iam {
  /** By which a worker reaches it. */
  outside: Outside;
  policy: BrokerPolicy;
  /** Makes a user who may manage its own keys. Returns its name and its first key, as a credential's value. */
  newUser(): Promise<{ user: string; first: string }>;
  /** Makes another key past the API. */
  createKey(user: string): Promise<string>;
  deleteKey(user: string, id: string): Promise<void>;
  /** The ids of a user's keys. */
  keysOf(user: string): Promise<string[]>;
  /** Whether signatures and policies are checked from now on; the calls above need that they are not. */
  checksSignatures(isOn: boolean): Promise<void>;
  close(): Promise<void>;
}

export const keyIdOf = (value: string): string => JSON.parse(value).accessKeyId;

export async function startIam(moto: Moto): Promise<Iam> {
  const server = await startMoto(moto);
  const iam = new IAMClient({
    ...{ endpoint: server.endpoint, region: "us-east-1" },
    credentials: { accessKeyId: "AKIAROOTROOTROOTROOT", secretAccessKey: "root-secret-of-the-test" },
  });
  const { certificate, key } = selfSignedCertificate("iam.amazonaws.com", 1);
  const front = createServer({ cert: certificate, key: key.reveal() }, (incoming, response) => {
    const { method, headers, url = "" } = incoming;
    const passed = request(server.endpoint + url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    passed.once("error", () => response.destroy());
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  const { port } = front.address() as AddressInfo;
  let users = 0;
  const createKey = async (user: string): Promise<string> => {
    const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName: user }));
    const { AccessKeyId: accessKeyId = "", SecretAccessKey: secretAccessKey = "" } = AccessKey ?? {};
    return JSON.stringify({ accessKeyId, secretAccessKey });
  };
  return {
    outside: {
      connect: (address) => connectByTcp(address, port),
      privateDestinations: new Map([[ORIGIN, { origin: ORIGIN, address: "127.0.0.1", ca: certificate }]]),
    },
    policy: {
      origin: "https://s3.eu-central-1.amazonaws.com",
      inject: { sigv4: { service: "s3", region: "eu-central-1" } },
      rules: [],
      rotation: { type: "aws_access_key" },
    },
    createKey,
    async newUser() {
      const user = `app-${++users}`;
      const Statement = [{ Effect: "Allow", Action: "iam:*AccessKey*", Resource: "*" }];
      await iam.send(new CreateUserCommand({ UserName: user }));
      await iam.send(
        new PutUserPolicyCommand({
          ...{ UserName: user, PolicyName: "own-keys" },
          PolicyDocument: JSON.stringify({ Version: "2012-10-17", Statement }),
        }),
      );
      return { user, first: await createKey(user) };
    },
    async deleteKey(user, id) {
      await iam.send(new DeleteAccessKeyCommand({ UserName: user, AccessKeyId: id }));
    },
    async keysOf(user) {
      const { AccessKeyMetadata = [] } = await iam.send(new ListAccessKeysCommand({ UserName: user }));
      return AccessKeyMetadata.map(({ AccessKeyId = "" }) => AccessKeyId).sort();
    },
    async checksSignatures(isOn) {
      // So many calls are free of checks.
      const body = isOn ? "0" : "inf";
      await fetch(`${server.endpoint}/moto-api/reset-auth`, { method: "POST", body });
    },
    async close() {
      front.closeAllConnections();
      await new Promise((resolve) => front.close(resolve));
      iam.destroy();
      await server.stop();
    },
  };
}
