import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { NewRevocation } from "../../shared/revocations/revocations.ts";
import { Failure } from "../failure.ts";
import type { Session } from "../session.ts";

/** `strongroom org revoke <org>`: ends tokens of an organization before their time. */
export async function revokeTokens(
  session: Session,
  [nameOrId = ""]: string[],
  options: { subject?: string; tokenId?: string; tokenFile?: string },
): Promise<undefined> {
  const { subject, tokenId, tokenFile } = options;
  if ([subject, tokenId, tokenFile].filter((each) => each !== undefined).length !== 1) {
    throw new Failure("usage", "Name one: --subject SUB, --token-id JTI or --token-file PATH");
  }
  const controlPlane = await session.controlPlane();
  const org = await controlPlane.findOrg(nameOrId);
  const revocation: NewRevocation = {
    ...(subject !== undefined && { subject }),
    ...(tokenId !== undefined && { tokenId }),
    ...(tokenFile !== undefined && { token: await digestOf(tokenFile) }),
  };
  const { ends, ...what } = await controlPlane.revoke(org.id, revocation);
  const until = new Date(ends * 1000).toISOString();
  session.out.data({ ...what, ends }, () => `revoked  ${Object.values(what)[0]}  on the list until ${until}`);
}

/** The digest by which a JWT is revoked however its signature is spelled. */
async function digestOf(path: string): Promise<string> {
  const token = await readFile(path, "utf8").catch(() => {
    throw new Failure("usage", `--token-file: ${path} cannot be read`);
  });
  const [header, payload, signature, more] = token.trim().split(".");
  if (!header || !payload || !signature || more !== undefined) {
    throw new Failure("usage", `--token-file: ${path} holds no JWT`);
  }
  return createHash("sha256").update(`${header}.${payload}`).digest("base64url");
}
