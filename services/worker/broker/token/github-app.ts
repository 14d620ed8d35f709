import type { Grant } from "../../../shared/broker/grant.ts";
import type { Answer } from "../../outbound/exchange.ts";
import { signedJwt } from "../inject/jwt.ts";
import { UseFailure } from "../use-failure.ts";
import { callEndpoint, jsonOf } from "./endpoint.ts";
import type { GrantRun, Issued } from "./issued.ts";

type GitHubApp = Extract<Grant, { type: "github_app" }>;

const ASSERTION_SECONDS = 300;
/** As GitHub advises, since its clock may be behind. */
const BACKDATED_MS = 60_000;
const CLOCK_SECONDS = 60;
const ORDER = ["read", "write", "admin"];

/** An installation's token. The value is the app's private key, which is never sent. */
export async function githubApp({
  grant,
  value,
  narrowed,
  exchange,
  now,
}: GrantRun<GitHubApp>): Promise<Issued> {
  const claims = { iss: grant.issuer };
  const signed = { algorithm: "RS256", claims, lifetimeSeconds: ASSERTION_SECONDS } as const;
  const jwt = await signedJwt(signed, value, now - BACKDATED_MS);
  const { permissions = {}, repositories } = narrowed;
  const answer = await callEndpoint(exchange, {
    ...{ endpoint: grant.endpoint, method: "POST", headers: headersWith(jwt) },
    body: new TextEncoder().encode(JSON.stringify({ permissions, ...(repositories && { repositories }) })),
  });
  if (answer.status !== 201) throw refusal(answer);
  const json = jsonOf(answer);
  const { token, expires_at: expires } = json;
  if (typeof token !== "string" || token === "") {
    throw new UseFailure("answer_unusable", "the provider's answer has no token");
  }
  const expiresAt = typeof expires === "string" ? Date.parse(expires) : Number.NaN;
  return {
    ...{ token, type: "bearer", toleranceSeconds: CLOCK_SECONDS, secrets: [] },
    lifeSeconds: Number.isNaN(expiresAt) ? undefined : (expiresAt - now) / 1000,
    wider: hasMorePermissions(json.permissions, permissions) || hasMoreRepositories(json, repositories),
    async revoke() {
      const endpoint = grant.endpoint.replace(
        /\/app\/installations\/[^/]+\/access_tokens$/,
        "/installation/token",
      );
      if (endpoint !== grant.endpoint) {
        await callEndpoint(exchange, { endpoint, method: "DELETE", headers: headersWith(token) });
      }
    },
  };
}

const headersWith = (token: string): [string, string][] => [
  ["Authorization", `Bearer ${token}`],
  ["Accept", "application/vnd.github+json"],
  ["Content-Type", "application/json"],
  ["User-Agent", "strongroom"],
  ["X-GitHub-Api-Version", "2022-11-28"],
];

/** GitHub adds `metadata: read` to whatever is asked for. */
function hasMorePermissions(granted: unknown, asked: Record<string, string>): boolean {
  if (typeof granted !== "object" || granted === null) return true;
  return Object.entries(granted).some(([name, access]) => {
    if (name === "metadata" && access === "read") return false;
    const most = Object.hasOwn(asked, name) ? ORDER.indexOf(asked[name] ?? "") : -1;
    const given = ORDER.indexOf(String(access));
    return given < 0 || given > most;
  });
}

function hasMoreRepositories(json: Record<string, unknown>, asked: string[] | undefined): boolean {
  if (!asked) return false;
  const { repositories, repository_selection: selection } = json;
  if (selection !== "selected" || !Array.isArray(repositories)) return true;
  return repositories.some((each) => !asked.includes(String(each?.name)));
}

const refusal = ({ status }: Answer): UseFailure =>
  new UseFailure("provider_refused", `the token's provider refused (status ${status})`, { status });
