import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import type { Command } from "commander";
import { REQUEST_BYTES, type UseRequest } from "../shared/api/uses.ts";
import { METHODS, targetProblem } from "../shared/work/destination.ts";
import { Failure } from "./failure.ts";
import { pairs } from "./options.ts";

/** A request for which a credential is used, as options beside its method and path. */
export interface RequestOptions {
  header?: Record<string, string>;
  data?: string;
  dataFile?: string;
}

export function declareRequest(line: Command): Command {
  return line
    .argument("<credential>", "its name")
    .argument("<method>", "GET, HEAD, POST, PUT, PATCH or DELETE")
    .argument("<path>", "the path, with a query if there is one: '/v1/items?limit=5'")
    .addOption(pairs("--header <header>", "a header, as 'Name: value' (may be repeated)", ":"))
    .option("--data <text>", "the body")
    .option("--data-file <path>", "a file with the body; - is stdin");
}

/** The request that the arguments and options describe. Failure `usage` for one that cannot be sent. */
export async function requestOf(
  method: string,
  target: string,
  options: RequestOptions,
): Promise<UseRequest> {
  const known = knownMethod(method);
  const cut = target.indexOf("?");
  const path = cut < 0 ? target : target.slice(0, cut);
  const parameters = cut < 0 ? [] : [...new URLSearchParams(target.slice(cut + 1))];
  const query = Object.fromEntries(parameters);
  if (Object.keys(query).length !== parameters.length) {
    throw new Failure("usage", "A parameter of the query is repeated");
  }
  const body = await bodyOf(options);
  return {
    method: known,
    path,
    ...(parameters.length > 0 && { query }),
    ...(options.header && { headers: options.header }),
    ...(body && { body }),
  };
}

/** A request that the broker sends, as {@link requestOf} describes one for a job. */
export interface CallRequest {
  method: UseRequest["method"];
  /** Path and query. */
  target: string;
  headers: Record<string, string>;
  body?: Buffer;
}

/** The request that the arguments and options describe. Failure `usage` for one that cannot be sent. */
export async function callOf(method: string, target: string, options: RequestOptions): Promise<CallRequest> {
  const known = knownMethod(method);
  // Otherwise the HTTP client would send another one, silently.
  const problem = targetProblem(target);
  if (problem) throw new Failure("usage", `${target}: ${problem}`);
  const body = await bytesOf(options);
  if (body && (known === "GET" || known === "HEAD")) throw new Failure("usage", `${known} has no body`);
  return { method: known, target, headers: options.header ?? {}, ...(body && { body }) };
}

function knownMethod(method: string): UseRequest["method"] {
  const known = METHODS.find((each) => each === method.toUpperCase());
  if (known) return known;
  throw new Failure("usage", `${method} is not one of ${METHODS.join(", ")}`);
}

async function bytesOf({ data, dataFile }: RequestOptions): Promise<Buffer | undefined> {
  if (data !== undefined && dataFile !== undefined) {
    throw new Failure("usage", "Pass either --data or --data-file");
  }
  if (data !== undefined) return Buffer.from(data, "utf8");
  return dataFile === undefined ? undefined : await readInput(dataFile);
}

async function bodyOf(options: RequestOptions): Promise<UseRequest["body"]> {
  const bytes = await bytesOf(options);
  if (!bytes || options.data !== undefined) return bytes && { text: bytes.toString("utf8") };
  if (bytes.length > REQUEST_BYTES) {
    throw new Failure("usage", `The body is longer than ${REQUEST_BYTES / 1024} KiB`);
  }
  return { base64: bytes.toString("base64") };
}

/** The content of a file, or of stdin if the path is `-`. Failure `usage` if it cannot be read. */
export async function readInput(path: string): Promise<Buffer> {
  try {
    return path === "-" ? await buffer(process.stdin) : await readFile(path);
  } catch (error) {
    throw new Failure("usage", `${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
