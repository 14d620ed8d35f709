import { Value } from "typebox/value";
import { OrgId } from "../../shared/org.ts";
import { instanceFolder } from "../../shared/process/instance-folders.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { table } from "../output.ts";
import { recordsWith, serviceLines, type TraceLine, vaultLines } from "../platform/trace.ts";
import type { Session } from "../session.ts";

export const traceCommand: CliCommand = {
  declare(line) {
    line.argument("<id>", "the request's X-Request-Id");
  },
  run: traceRequest,
};

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * `strongroom audit trace <id>`: the gateway's, the organization's Vault's and the control plane's records of one
 * request, in order of time, from this machine's logs.
 */
async function traceRequest(session: Session, [id = ""]: string[]): Promise<undefined> {
  if (!ID.test(id))
    throw new Failure("usage", "Not a request ID: expected the response's X-Request-Id header.");
  await session.local("audit trace");
  const { state } = session;
  const [gateway, controlPlane] = await Promise.all(
    ["gateway", "control-plane"].map((name) => recordsWith(state.logFile(name), id)),
  );
  const lines: TraceLine[] = [
    ...serviceLines("gateway", gateway ?? [], id),
    ...serviceLines("control-plane", controlPlane ?? [], id),
  ];
  const org = gateway?.find((record) => record.requestId === id)?.org;
  if (Value.Check(OrgId, org)) {
    const { attempt } = await (await session.controlPlane()).org(org);
    const [audit] = instanceFolder(state.instances, org, attempt).audit;
    lines.push(...vaultLines(await recordsWith(audit, id), id));
  }
  if (lines.length === 0) {
    throw new Failure(
      "notFound",
      `No log on this machine has the request ${id}`,
      "Logs are limited in size: the request may be too old.",
    );
  }
  lines.sort((a, b) => (a.at < b.at ? -1 : 1));
  session.out.data(lines, () =>
    table(
      ["TIME", "WHERE", "WHAT"],
      lines.map(({ at, where, what }) => [at, where, what]),
    ),
  );
}
