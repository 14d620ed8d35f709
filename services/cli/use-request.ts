import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import type { Command } from "commander";
import { REQUEST_BYTES, type UseRequest } from "../shared/api/uses.ts";
import { METHODS } from "../shared/work/destination.ts";
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
  const known = METHODS.find((each) => each === method.toUpperCase());
  if (!known) throw new Failure("usage", `${method} is not one of ${METHODS.join(", ")}`);
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

async function bodyOf({ data, dataFile }: RequestOptions): Promise<UseRequest["body"]> {
  if (data !== undefined && dataFile !== undefined) {
    throw new Failure("usage", "Pass either --data or --data-file");
  }
  if (data !== undefined) return { text: data };
  if (dataFile === undefined) return undefined;
  const bytes = await readInput(dataFile);
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
