import { type Command, Option } from "commander";
import type { PutBroker, PutIntegration } from "../shared/api/credentials.ts";
import type { BrokerPolicy } from "../shared/broker/policy.ts";
import { type DestinationPolicy, METHODS } from "../shared/work/destination.ts";
import { Failure } from "./failure.ts";
import { listOf, repeated } from "./options.ts";
import { readInput } from "./use-request.ts";

/** Where a credential may be sent, and by whom, as options. */
export interface DestinationOptions {
  origin?: string;
  method?: string[];
  path?: string[];
  rules?: string;
  policy?: string;
  header: string;
  format: string;
}

export function declareDestination(line: Command): Command {
  return line
    .option("--origin <url>", "the only origin that it is sent to, like https://api.example.com")
    .addOption(
      repeated(
        "--path <pattern>",
        "for jobs: paths that it may be used for: * is one segment, a last ** any number (may be repeated)",
      ),
    )
    .addOption(
      listOf("--method <methods>", "for jobs: methods that it may be used with (default: GET)", METHODS),
    )
    .option("--rules <file>", "for the broker: JSON, the list of rules that say who may send what")
    .option("--policy <file>", "for the broker: JSON, the whole policy, instead of the options for its parts")
    .addOption(new Option("--header <name>", "the header that carries it").default("Authorization"))
    .addOption(
      new Option("--format <text>", "the header's value; {} stands for the credential").default("Bearer {}"),
    );
}

/** What a credential is put with, beside its value. */
export type PutOf =
  | Pick<PutIntegration, "purpose" | "destination" | "level">
  | Pick<PutBroker, "purpose" | "destination">;

/** What the options describe: the destination for jobs, or the policy for the broker. Failure `usage` for a mixture. */
export async function putOf(options: DestinationOptions): Promise<PutOf> {
  const { origin, path, rules, policy, method, header, format } = options;
  if (policy !== undefined) {
    if (origin || path || rules || method)
      throw new Failure("usage", "--policy has all of it: pass it alone");
    return { purpose: "broker", destination: await readJsonFile<BrokerPolicy>(policy) };
  }
  if (origin === undefined)
    throw new Failure("usage", "Pass --origin URL: the only origin that it is sent to");
  if (!format.includes("{}")) {
    throw new Failure("usage", "--format needs {} where the credential stands, as in: --format 'Bearer {}'");
  }
  const common = { origin: origin.replace(/\/$/, ""), inject: { header, format } };
  if (rules !== undefined) {
    if (path || method)
      throw new Failure("usage", "--path and --method are for jobs; --rules has them for the broker");
    return { purpose: "broker", destination: { ...common, rules: await readJsonFile(rules) } };
  }
  if (path === undefined)
    throw new Failure("usage", "Pass --path PATTERN for jobs, or --rules FILE for the broker");
  const methods = (method ?? ["GET"]) as DestinationPolicy["methods"];
  return { destination: { ...common, methods, paths: path } };
}

/** The JSON in a file, which the API checks. Failure `usage` if it is none. */
export async function readJsonFile<T>(path: string): Promise<T> {
  const text = (await readInput(path)).toString("utf8");
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new Failure("usage", `${path} is not JSON`);
  }
}
