import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { type Rate, type RateName, rateOf } from "../../../services/shared/aws/rates.ts";
import { asIamReturnsIt } from "./iam-documents.ts";

/** A call as it went over the wire. */
export interface Call {
  /** As the SDK names its clients: `ECS`, `IAM` … */
  client: string;
  operation: string;
  input: Record<string, unknown>;
  /** Status of the answer; 0 where it was lost. */
  status: number;
  /** Of an error that the wire made. */
  refused?: string;
}

/** What goes wrong with calls: refused by a code, not let through, or done and the answer lost. */
export type Fault = "lose" | { code: string; status?: number; message?: string };

/** Between services and emulator: everything goes through it, and goes wrong where a test wants it. */
export interface Wire {
  url: string;
  calls: Call[];
  /** Has the next `times` calls of an operation, like `ECS CreateService`, go wrong. */
  fail(operation: string, fault: Fault, times?: number): void;
  /** Ends every fault. */
  heal(): void;
  /** The account's quota of vCPU that Fargate runs at once; more than any test needs unless set. */
  vcpu: number;
  /** Refuses what goes beyond these rates from now on, as AWS does. */
  throttle(rates: Partial<Record<RateName, Rate>>): void;
  close(): Promise<void>;
}

const CLIENTS: Record<string, string> = {
  AmazonEC2ContainerServiceV20141113: "ECS",
  AmazonSSM: "SSM",
  DynamoDB_20120810: "DynamoDB",
  AmazonSQS: "SQS",
  Route53AutoNaming_v20170314: "ServiceDiscovery",
  Logs_20140328: "CloudWatch Logs",
  ServiceQuotasV20190624: "Service Quotas",
};

/** `serial` names clients whose calls are passed on one at a time, for what AWS does atomically and the emulator not. */
export async function startWire(
  upstreams: { ecs: string; others: string },
  { serial = [] }: { serial?: string[] } = {},
): Promise<Wire> {
  let last: Promise<unknown> = Promise.resolve();
  const calls: Call[] = [];
  const faults: { operation: string; fault: Fault; left: number }[] = [];
  const names = new Map<string, string>();
  let grants: Partial<Record<RateName, () => boolean>> = {};

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const call = recognize(request, body);
    calls.push(call);
    const rate = rateOf(call.client, call.operation);
    const grant = rate && grants[rate];
    if (grant && !grant()) {
      return refuse(response, call, { code: "ThrottlingException", message: "Rate exceeded" });
    }
    const { operation } = call;
    const fault = faults.find((each) => each.operation === `${call.client} ${operation}` && each.left-- > 0);
    if (fault && fault.fault !== "lose") return refuse(response, call, fault.fault);
    if (call.client === "Service Quotas" && operation === "GetServiceQuota") {
      call.status = 200;
      const { QuotaCode, ServiceCode } = call.input;
      response.writeHead(200, { "content-type": "application/x-amz-json-1.1" });
      response.end(JSON.stringify({ Quota: { QuotaCode, ServiceCode, Value: wire.vcpu } }));
      return;
    }
    const known = operation === "CreateService" && names.get(String(call.input.Name));
    if (call.client === "ServiceDiscovery" && known) {
      return refuse(response, call, { code: "ServiceAlreadyExists" }, { ServiceId: known });
    }
    const upstream = call.client === "ECS" ? upstreams.ecs : upstreams.others;
    const pass = () => forward(upstream, request, body);
    const passing = serial.includes(call.client) ? last.then(pass, pass) : pass();
    last = passing;
    const passed = await passing;
    if (call.client === "IAM") passed.body = withIamsDocuments(passed.body);
    remember(call, passed.body);
    if (fault) {
      call.status = 0;
      request.socket.destroy();
      return;
    }
    call.status = passed.status;
    response.writeHead(passed.status, passed.headers).end(passed.body);
  }

  /** The emulator makes a second name where Cloud Map says that there is one. */
  function remember({ client, operation, input }: Call, body: Buffer): void {
    if (client !== "ServiceDiscovery") return;
    if (operation === "CreateService") {
      const { Service } = JSON.parse(body.toString("utf8")) as { Service?: { Id: string; Name: string } };
      if (Service) names.set(Service.Name, Service.Id);
    }
    if (operation === "DeleteService") {
      for (const [name, id] of names) if (id === input.Id) names.delete(name);
    }
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const wire: Wire = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    vcpu: MUCH_VCPU,
    fail: (operation, fault, times = 1) => void faults.push({ operation, fault, left: times }),
    heal() {
      faults.length = 0;
      grants = {};
      wire.vcpu = MUCH_VCPU;
    },
    throttle(rates) {
      grants = Object.fromEntries(Object.entries(rates).map(([name, rate]) => [name, granting(rate)]));
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return wire;
}

const MUCH_VCPU = 4_000;

/** A token bucket as AWS has it: what it refuses takes no token. */
function granting({ burst, perSecond }: Rate): () => boolean {
  let tokens: number = burst;
  let last = performance.now();
  return () => {
    const now = performance.now();
    tokens = Math.min(burst, tokens + ((now - last) * perSecond) / 1000);
    last = now;
    if (tokens < 1) return false;
    tokens--;
    return true;
  };
}

function recognize(request: IncomingMessage, body: Buffer): Call {
  const text = body.toString("utf8");
  const [service = "", operation] = String(request.headers["x-amz-target"] ?? "").split(".");
  if (operation) {
    const input = JSON.parse(text) as Record<string, unknown>;
    return { client: CLIENTS[service] ?? service, operation, input, status: 0 };
  }
  const form = Object.fromEntries(new URLSearchParams(text));
  return { client: "IAM", operation: form.Action ?? "", input: form, status: 0 };
}

/** The emulator returns trust policies as they were sent; IAM does not. */
function withIamsDocuments(answer: Buffer): Buffer {
  const text = answer.toString("utf8").replace(
    /(<AssumeRolePolicyDocument>)(.*?)(<\/AssumeRolePolicyDocument>)/gs,
    (_, begin: string, document: string, end: string) =>
      // Everything turned round that can be.
      begin + encodeURIComponent(asIamReturnsIt(decodeURIComponent(document), () => true)) + end,
  );
  return Buffer.from(text);
}

let refusals = 0;

function refuse(
  response: ServerResponse,
  call: Call,
  { code, status = 400, message = `${code} by the wire` }: Exclude<Fault, "lose">,
  more: object = {},
): void {
  Object.assign(call, { status, refused: code });
  const id = `wire-${++refusals}`;
  if (call.client === "IAM") {
    response.writeHead(status, { "content-type": "text/xml", "x-amzn-requestid": id });
    response.end(
      `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error>` +
        `<RequestId>${id}</RequestId></ErrorResponse>`,
    );
    return;
  }
  response.writeHead(status, { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": id });
  response.end(JSON.stringify({ __type: code, message, Message: message, ...more }));
}

function forward(upstream: string, request: IncomingMessage, body: Buffer) {
  const { host, connection: _, ...headers } = request.headers;
  return new Promise<{ status: number; headers: Record<string, string>; body: Buffer }>((resolve, reject) => {
    httpRequest(
      upstream + (request.url ?? ""),
      { method: request.method, headers, agent: false },
      (answer) => {
        buffer(answer).then((bytes) => {
          const {
            "content-length": __,
            "transfer-encoding": ___,
            connection: ____,
            ...kept
          } = answer.headers;
          resolve({
            status: answer.statusCode ?? 500,
            headers: kept as Record<string, string>,
            body: bytes,
          });
        }, reject);
      },
    )
      .once("error", reject)
      .end(body);
  });
}
