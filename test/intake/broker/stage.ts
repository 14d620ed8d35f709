import { type IncomingMessage, request } from "node:http";
import type { BrokerPolicy } from "../../../services/shared/broker/policy.ts";
import type { Entry } from "../../../services/shared/receipts/receipt.ts";
import { type IntakeStage, startIntakeStage, type TestIntake } from "../../harness/intake.ts";
import { exported } from "../../harness/receipts.ts";
import { type FrameServer, startFrameServer } from "./frame-server.ts";

/** A policy with a rule for readers and one for admins, with changes. */
export const brokerPolicy = (changes: Partial<BrokerPolicy> = {}): BrokerPolicy => ({
  origin: "https://api.example.com",
  inject: { header: "Authorization", format: "Bearer {}" },
  rules: [
    { id: "read", methods: ["GET", "HEAD"], paths: ["/v1/**"], query: ["page"], who: { level: "reader" } },
    {
      ...{ id: "write", methods: ["POST", "PUT", "PATCH", "DELETE"], paths: ["/v1/**"] },
      ...{ contentTypes: ["application/json", "application/octet-stream"], who: { level: "writer" } },
    },
    { id: "danger", methods: ["DELETE"], paths: ["/admin/*"], who: { level: "admin", subjects: ["root"] } },
  ],
  ...changes,
});

/** A body of `PUT /v1/credentials/:name` for the broker, with changes. */
export const brokerBody = (changes: object = {}, policy: Partial<BrokerPolicy> = {}) => ({
  ...{ purpose: "broker", value: "sk-live-canary-0123456789", destination: brokerPolicy(policy) },
  ...changes,
});

/** What a caller gets, by node:http, which sends a path as it is. */
export interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: bodies of every form
  json: any;
  /** The body broke off. */
  isCut: boolean;
}

export interface SendOptions {
  token?: string;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer;
}

export interface BrokerStage extends IntakeStage {
  intake: TestIntake;
  frames: FrameServer;
  send(method: string, path: string, options?: SendOptions): Promise<Answer>;
  /** Stores a credential of the broker. */
  put(name: string, changes?: object, policy?: Partial<BrokerPolicy>): Promise<void>;
  /** The entries of acme's receipts for a request's id, once there are so many. */
  receipts(id: string | undefined, count?: number): Promise<Entry[]>;
}

/** An intake whose broker is the wire's other side. */
export async function startBrokerStage(): Promise<BrokerStage> {
  const [stage, frames] = [await startIntakeStage(), await startFrameServer()];
  const intake = await stage.start({ broker: frames.client });
  return {
    ...stage,
    ...{ intake, frames },
    send: (method, path, { token = stage.token("writer"), ...options } = {}) =>
      send(intake.address, method, path, { token, ...options }),
    async put(name, changes, policy) {
      const body = brokerBody(changes, policy);
      const answer = await intake.call("PUT", `/v1/credentials/${name}`, {
        token: stage.token("admin"),
        body,
      });
      if (answer.status >= 300) throw new Error(answer.text);
    },
    async receipts(id, count = 2) {
      for (let tries = 0; ; tries++) {
        const lines = await exported(stage.store, stage.acme);
        const entries = lines.flatMap((line) => ("entry" in line ? [line.entry as Entry] : []));
        const found = entries.filter((entry) => entry.id === id);
        if (found.length >= count || tries > 100) return found;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    async close() {
      await stage.close();
      await frames.close();
    },
  };
}

export function send(
  address: string,
  method: string,
  path: string,
  { token, headers, body }: SendOptions = {},
): Promise<Answer> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve, reject) => {
    const sent = request({
      ...{ hostname, port, method, path, agent: false },
      headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers },
    });
    sent.on("error", reject);
    sent.on("response", (response) => {
      const chunks: Buffer[] = [];
      let isCut = false;
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", () => {
        isCut = true;
      });
      response.on("close", () => {
        const text = Buffer.concat(chunks).toString();
        const isJson = response.headers["content-type"]?.includes("json");
        resolve({
          ...{ status: response.statusCode ?? 0, headers: response.headers, text },
          ...{
            json: isJson && text !== "" ? JSON.parse(text) : undefined,
            isCut: isCut || !response.complete,
          },
        });
      });
    });
    sent.end(body);
  });
}
