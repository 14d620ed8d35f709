import { ifFound, type VaultClient, VaultError } from "./client.ts";

/** The token role that creates all machine tokens: Vault's own tokens for machines that have no JWT. */
export const MACHINE_ROLE = "machine";
/** The role of the mount `jwt` in which an admin's JWT is exchanged for a token that can create them. */
export const MACHINE_ISSUER_ROLE = "machine-issuer";
/** The levels that a machine token can have. */
export const MACHINE_LEVELS = ["reader", "writer"] as const;
/** Maximum lifetime of a machine token, including renewals. */
export const MACHINE_SECONDS = 24 * 3600;

/** The path of the token role. */
export const MACHINE_ROLE_PATH = `auth/token/roles/${MACHINE_ROLE}`;

/** All settings of the token role, since a write leaves unnamed settings as they are. */
export const machineRole = {
  name: MACHINE_ROLE,
  allowed_policies: [MACHINE_ROLE, ...MACHINE_LEVELS],
  allowed_policies_glob: [],
  disallowed_policies: [],
  disallowed_policies_glob: [],
  allowed_entity_aliases: [],
  orphan: true,
  renewable: true,
  path_suffix: "",
  token_explicit_max_ttl: MACHINE_SECONDS,
  token_period: 0,
  token_bound_cidrs: [],
  token_no_default_policy: true,
  token_num_uses: 0,
  token_type: "service",
};

/** The public properties of a machine token. Times are RFC 3339. */
export interface MachineToken {
  accessor: string;
  name: string;
  level: string;
  /** The subject of the JWT that created it. */
  createdBy: string;
  createdAt: string;
  expiresAt: string;
}

/** Tokens looked up with one login, whose number of requests is limited. */
const AT_ONCE = 100;

/**
 * An organization's live machine tokens, the oldest first. `login` returns a client at `platform-maintain`, and is
 * called again for every hundred tokens in its Vault.
 */
export async function machineTokens(login: () => Promise<VaultClient>): Promise<MachineToken[]> {
  const body = await ifFound((await login()).list("auth/token/accessors"));
  const accessors = (body?.data as { keys: string[] } | undefined)?.keys ?? [];
  const found: MachineToken[] = [];
  for (let from = 0; from < accessors.length; from += AT_ONCE) {
    const client = await login();
    for (const accessor of accessors.slice(from, from + AT_ONCE)) {
      const token = await lookUp(client, accessor);
      if (token) found.push(token);
    }
  }
  return found.sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
}

/** Revokes a machine token. Returns false if the accessor is not one of a live machine token. */
export async function revokeMachineToken(client: VaultClient, accessor: string): Promise<boolean> {
  if (!(await lookUp(client, accessor))) return false;
  await client.write("auth/token/revoke-accessor", { accessor });
  return true;
}

/**
 * Revokes the live machine tokens that a subject created, and returns their number. `login` as in {@link
 * machineTokens}.
 */
export async function revokeMadeBy(login: () => Promise<VaultClient>, subject: string): Promise<number> {
  const made = (await machineTokens(login)).filter(({ createdBy }) => createdBy === subject);
  for (const { accessor } of made) await revokeMachineToken(await login(), accessor);
  return made.length;
}

interface Looked {
  path: string;
  policies: string[];
  display_name: string;
  meta: { created_by?: string } | null;
  issue_time: string;
  expire_time: string;
}

/** Undefined for a dead token, and for one that is not a machine token. */
async function lookUp(client: VaultClient, accessor: string): Promise<MachineToken | undefined> {
  let token: Looked;
  try {
    token = (await client.write("auth/token/lookup-accessor", { accessor })).data as Looked;
  } catch (error) {
    if (error instanceof VaultError && (error.status === 400 || error.status === 404)) return undefined;
    throw error;
  }
  if (token.path !== `auth/token/create/${MACHINE_ROLE}`) return undefined;
  return {
    accessor,
    name: token.display_name.replace(/^token-?/, ""),
    level: token.policies.filter((policy) => policy !== MACHINE_ROLE).join(" "),
    createdBy: token.meta?.created_by ?? "",
    createdAt: token.issue_time,
    expiresAt: token.expire_time,
  };
}
