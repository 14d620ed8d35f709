import { PassThrough } from "node:stream";
import { pino } from "pino";
import { verifyTrail } from "../../../services/cli/commands/audit-verify.ts";
import type { Session } from "../../../services/cli/session.ts";
import { Trail } from "../../../services/control-plane/trail.ts";
import type { InternalVault } from "../../harness/vault.ts";

/** What `audit verify` prints. */
export interface Verified {
  entries: number;
  head: string;
  passed: number[];
  strays: string[];
  audited?: { from: number; to: number; gaps: number };
}

export interface VerifierOptions {
  /** With this machine's audit log, or as for a platform elsewhere. */
  here?: boolean;
  head?: string;
  logGroup?: string;
}

/** The control plane's trail at an internal Vault, by the control plane's own login. */
export const openTrail = (internal: InternalVault): Trail =>
  new Trail({ vault: internal.controlPlane, now: () => new Date(), log: pino({ level: "silent" }) });

/** Runs `audit verify` against an internal Vault's trail as it is; returns what it prints, and its stderr. */
export async function verify(
  internal: InternalVault,
  { here = true, ...options }: VerifierOptions = {},
): Promise<{ printed: Verified; stderr: string }> {
  let printed: Verified | undefined;
  const trail = openTrail(internal);
  const stderr = new PassThrough();
  const session = {
    out: {
      data: (data: Verified, text: () => string[]) => {
        text();
        printed = data;
      },
      note: () => {},
      stderr,
    },
    environment: here ? {} : { STRONGROOM_URL: "https://elsewhere.test" },
    state: { at: () => `${internal.dir}/audit.log` },
    local: async () => ({}),
    controlPlane: async () => ({
      trail: async (after: number) => ({
        ...(await trail.read(after, 2)),
        strays: await trail.strays(),
        head: await trail.head(),
      }),
    }),
  } as unknown as Session;
  await verifyTrail(session, [], options);
  if (!printed) throw new Error("it printed nothing");
  return { printed, stderr: String(stderr.read() ?? "") };
}
