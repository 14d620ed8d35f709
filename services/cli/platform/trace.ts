import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { Failure } from "../failure.ts";

/** A log and the older ones that it was rotated to, the oldest first. */
const ROTATED = [".9", ".8", ".7", ".6", ".5", ".4", ".3", ".2", ".1", ""];

/** The records of a log, a JSON object a line, that hold a text. Other lines are passed over. */
export async function recordsWith(path: string, text: string): Promise<Record<string, unknown>[]> {
  const found: Record<string, unknown>[] = [];
  for (const suffix of ROTATED) {
    const lines = createInterface({
      input: createReadStream(path + suffix),
      crlfDelay: Number.POSITIVE_INFINITY,
    });
    try {
      for await (const line of lines) {
        const record = line.includes(text) ? parseRecord(line) : undefined;
        if (record) found.push(record);
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT") throw new Failure("failure", `${path}${suffix} cannot be read (${code})`);
    }
  }
  return found;
}

/** A line of a log that is a JSON object; undefined for any other. */
export function parseRecord(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** One thing that a request did, as a log has it. */
export interface TraceLine {
  /** RFC 3339, UTC. */
  at: string;
  /** `gateway`, `vault`, `control-plane` or `trail`. */
  where: string;
  what: string;
}

interface VaultRecord {
  type: "request" | "response";
  time: string;
  request: { path: string; operation: string; headers?: Record<string, string[] | undefined> };
  auth?: { display_name?: string; policies?: string[] };
  error?: string;
}

/** What a Vault's audit log says of a request, an answer a line; a request without its answer is told too. */
export function vaultLines(records: Record<string, unknown>[], requestId: string): TraceLine[] {
  const own = (records as unknown as VaultRecord[]).filter(({ request }) =>
    request?.headers?.["x-request-id"]?.includes(requestId),
  );
  const answered = own.some(({ type }) => type === "response");
  return own
    .filter(({ type }) => type === (answered ? "response" : "request"))
    .map(({ time, request: { operation, path }, auth, error }) => {
      const who = auth?.display_name ? ` by ${auth.display_name} (${auth.policies?.join(", ")})` : "";
      const how = error
        ? `: ${error.replaceAll(/\s+/g, " ").trim()}`
        : answered
          ? ""
          : ": no answer recorded";
      return { at: new Date(time).toISOString(), where: "vault", what: `${operation} ${path}${who}${how}` };
    });
}

/** What a service's log says of a request. */
export function serviceLines(
  where: string,
  records: Record<string, unknown>[],
  requestId: string,
): TraceLine[] {
  return records
    .filter((record) => record.requestId === requestId)
    .map(({ time, method, route, status, reason, cause, org, subject, ms, msg }) => {
      const why = String(reason ?? "").startsWith("answer_") ? undefined : reason;
      const parts = [method, route, status, why, cause, org && `org ${org}`, subject && `subject ${subject}`];
      const took = ms === undefined ? [] : [`${ms} ms`];
      const what = [...parts.filter(Boolean), ...took].join("  ");
      return { at: String(time), where, what: method ? what : String(msg) };
    });
}
