import { createPublicKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Option } from "commander";
import type { CreateToken } from "../../shared/api/tokens.ts";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import { pairs, period, repeated } from "../options.ts";
import type { Session } from "../session.ts";

export const exchangeCommand: CliCommand = {
  declare(line) {
    declareMember(line.argument("<credential>", "the credential, whose policy has a grant"))
      .addOption(repeated("--scope <scope>", "only this scope; may be given again"))
      .addOption(pairs("--permission <name=access>", "only this permission of a GitHub App", "="))
      .addOption(repeated("--repository <name>", "only this repository of a GitHub App; may be given again"))
      .addOption(new Option("--session-policy <file>", "file with an IAM policy (JSON) for an AWS session"))
      .addOption(period("--seconds <duration>", "the longest that the token may live, such as 15m"))
      .addOption(new Option("--seal-to <file>", "seal the token to this P-256 public key (PEM or base64url)"))
      .addHelpText(
        "after",
        `
Without options the token is for all that the credential's policy allows. It goes to stdout; when it expires, to stderr.
With --seal-to, stdout has the sealed token as JSON, which only the private key opens.

Examples:
  strongroom token exchange github --org acme --group writer --permission contents=read --repository site
  strongroom token exchange deploy-role --org acme --group writer --seconds 15m --json`,
      );
  },
  run: exchange,
};

interface ExchangeOptions extends MemberOptions {
  scope?: string[];
  permission?: Record<string, string>;
  repository?: string[];
  sessionPolicy?: string;
  seconds?: number;
  sealTo?: string;
}

/** `strongroom token exchange <credential>`: prints a short-lived token. */
async function exchange(
  session: Session,
  [credential = ""]: string[],
  options: ExchangeOptions,
): Promise<undefined> {
  const asked = await askedOf(options);
  const intake = await intakeAs(session, options);
  const issued = await intake.exchangeToken(credential, asked);
  const { out } = session;
  const what = issued.scopes.length > 0 ? `for ${issued.scopes.join(", ")}, ` : "";
  out.note(`A token ${what}until ${issued.expiresAt}. Receipt: ${issued.receipt}`);
  out.data(issued, () =>
    "token" in issued ? issued.token : JSON.stringify({ ...issued.sealed, receipt: issued.receipt }),
  );
}

async function askedOf({ scope, permission, repository, sessionPolicy, seconds, sealTo }: ExchangeOptions) {
  return {
    ...(scope && { scopes: scope }),
    // The intake says which access it takes.
    ...(permission && { permissions: permission as NonNullable<CreateToken["permissions"]> }),
    ...(repository && { repositories: repository }),
    ...(sessionPolicy !== undefined && { sessionPolicy: (await textOf(sessionPolicy)).trim() }),
    ...(seconds !== undefined && { seconds }),
    ...(sealTo !== undefined && { sealTo: pointOf(sealTo, (await textOf(sealTo)).trim()) }),
  } satisfies CreateToken;
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new Failure("usage", `Cannot read ${path} (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** The point of a public key as the API takes it. */
function pointOf(path: string, text: string): string {
  if (/^[A-Za-z0-9_-]{87}$/.test(text)) return text;
  try {
    const key = text.includes("PRIVATE KEY") ? undefined : createPublicKey(text);
    const { crv, x = "", y = "" } = key?.export({ format: "jwk" }) ?? {};
    if (crv === "P-256") {
      const parts = [Buffer.from([4]), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")];
      return Buffer.concat(parts).toString("base64url");
    }
  } catch {
    // told below
  }
  throw new Failure(
    "usage",
    `${path} has no P-256 public key`,
    "Make a pair: openssl ecparam -genkey -name prime256v1 -noout -out key.pem && openssl ec -in key.pem -pubout -out public.pem",
  );
}
