import { type Command, Option } from "commander";
import { type DestinationPolicy, METHODS } from "../shared/work/destination.ts";
import { Failure } from "./failure.ts";
import { listOf, repeated } from "./options.ts";

/** Where a credential may be sent, as options. */
export interface DestinationOptions {
  origin: string;
  method?: string[];
  path: string[];
  header: string;
  format: string;
}

export function declareDestination(line: Command): Command {
  return line
    .requiredOption("--origin <url>", "the only origin that it is sent to, like https://api.example.com")
    .addOption(
      repeated(
        "--path <pattern>",
        "paths that it may be used for: * is one segment, a last ** any number (may be repeated)",
      ).makeOptionMandatory(),
    )
    .addOption(listOf("--method <methods>", "methods that it may be used with (default: GET)", METHODS))
    .addOption(new Option("--header <name>", "the header that carries it").default("Authorization"))
    .addOption(
      new Option("--format <text>", "the header's value; {} stands for the credential").default("Bearer {}"),
    );
}

/** The destination policy that the options describe. */
export function destinationOf({
  origin,
  method,
  path,
  header,
  format,
}: DestinationOptions): DestinationPolicy {
  if (!format.includes("{}")) {
    throw new Failure("usage", "--format needs {} where the credential stands, as in: --format 'Bearer {}'");
  }
  const methods = (method ?? ["GET"]) as DestinationPolicy["methods"];
  return { origin: origin.replace(/\/$/, ""), methods, paths: path, inject: { header, format } };
}
