import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Value } from "typebox/value";
import type { Job, JobEvent } from "../shared/api/jobs.ts";
import type { CreateOrg, OrgPage, OrgView } from "../shared/api/orgs.ts";
import type { TrailEntry, TrailHead } from "../shared/audit/trail.ts";
import { StrongroomError } from "../shared/errors.ts";
import type { MadeRevocation, NewRevocation } from "../shared/front/published/revocations.ts";
import { OrgId, OrgName } from "../shared/org.ts";
import type { Secret } from "../shared/secret.ts";
import { ApiClient } from "./api-client.ts";
import { Failure } from "./failure.ts";
import { serverSentEvents } from "./server-sent-events.ts";

const PAGES_AT_MOST = 1000;
const RECONNECTS_AT_MOST = 10;

/**
 * A client of the control-plane API. Throws the StrongroomError that an error response names, or a Failure
 * (`unavailable`) if the API does not answer.
 */
export class ControlPlane {
  readonly #api: ApiClient;

  /** `token` is called before each request; it may return the same token again. */
  constructor(address: string, token: () => Promise<Secret>) {
    this.#api = new ApiClient({ name: "control plane", address, setting: "STRONGROOM_URL", token });
  }

  /** Starts an onboarding. The same key with the same request returns the same job. */
  async createOrg(request: CreateOrg, idempotencyKey: string = randomUUID()): Promise<Job> {
    return await this.#api.json("POST", "/v1/orgs", { "Idempotency-Key": idempotencyKey }, request);
  }

  async job(id: string): Promise<Job> {
    return await this.#api.json("GET", `/v1/jobs/${encodeURIComponent(id)}`);
  }

  /** Every change of a job from its start to its end; resumes after a lost connection. */
  async *jobEvents(id: string, signal?: AbortSignal): AsyncGenerator<JobEvent> {
    let last: string | undefined;
    for (let connects = 0; connects <= RECONNECTS_AT_MOST; connects++) {
      if (connects > 0) await sleep(500, undefined, { signal });
      try {
        const response = await this.#api.request("GET", `/v1/jobs/${encodeURIComponent(id)}/events`, {
          Accept: "text/event-stream",
          ...(last && { "Last-Event-ID": last }),
        });
        if (!response.body) continue;
        for await (const event of serverSentEvents(response.body, signal)) {
          last = event.id ?? last;
          const change = JSON.parse(event.data) as JobEvent;
          yield change;
          if (!change.step && (change.state === "succeeded" || change.state === "failed")) return;
        }
      } catch (error) {
        if (signal?.aborted || (error instanceof StrongroomError && !error.retry)) throw error;
      }
    }
    throw new Failure("unavailable", `Lost the event stream of job ${id} before the job ended`);
  }

  /** All organizations, including deleted ones. */
  async orgs(): Promise<OrgView[]> {
    const orgs: OrgView[] = [];
    let cursor: string | undefined;
    for (let pages = 0; pages < PAGES_AT_MOST; pages++) {
      const query = new URLSearchParams({ limit: "100", ...(cursor && { cursor }) });
      const page: OrgPage = await this.#api.json("GET", `/v1/orgs?${query}`);
      orgs.push(...page.orgs);
      cursor = page.next;
      if (!cursor) break;
    }
    return orgs;
  }

  async org(id: string): Promise<OrgView> {
    return await this.#api.json("GET", `/v1/orgs/${encodeURIComponent(id)}`);
  }

  /** The live organization of this name, or the one with this id. Failure `notFound`. */
  async findOrg(nameOrId: string): Promise<OrgView> {
    if (Value.Check(OrgName, nameOrId)) {
      const { orgs } = await this.#api.json<OrgPage>(
        "GET",
        `/v1/orgs?${new URLSearchParams({ name: nameOrId })}`,
      );
      if (orgs[0]) return orgs[0];
    }
    if (Value.Check(OrgId, nameOrId)) return await this.org(nameOrId);
    const gone = (await this.orgs()).find(({ name }) => name === nameOrId);
    throw new Failure(
      "notFound",
      gone ? `The organization ${nameOrId} is ${gone.state}` : `There is no organization ${nameOrId}`,
      gone ? `To see it, pass its id: ${gone.id}` : "List them with: strongroom org list",
    );
  }

  /** How far this clock is ahead of the control plane's, to about a second, in milliseconds. */
  async clockSkewMs(): Promise<number> {
    const { headers } = await this.#api.request("GET", "/v1/orgs?limit=1");
    // The header has whole seconds: on average half a second has passed since.
    return Date.now() - (Date.parse(headers.get("date") ?? "") + 500);
  }

  async deleteOrg(id: string): Promise<Job> {
    return await this.#api.json("DELETE", `/v1/orgs/${encodeURIComponent(id)}`);
  }

  /** A page of the trail after this slot, with its foreign slots, the strays, and the trail's head. */
  async trail(
    after: number,
  ): Promise<{ entries: TrailEntry[]; foreign: number[]; strays: string[]; head: TrailHead }> {
    return await this.#api.json("GET", `/v1/audit?after=${after}`);
  }

  /** Enables or disables machine tokens for an organization at the gateways. */
  async setMachineTokens(id: string, enabled: boolean): Promise<OrgView> {
    return await this.#api.json("PUT", `/v1/orgs/${encodeURIComponent(id)}/machine-tokens`, {}, { enabled });
  }

  /** Has the platform adopt the owner in the record that the operator signed. */
  async followOwner(id: string): Promise<OrgView> {
    return await this.#api.json("PUT", `/v1/orgs/${encodeURIComponent(id)}/owner`);
  }

  /** Revokes tokens of an organization before they expire. Returns the revocation as recorded. */
  async revoke(id: string, revocation: NewRevocation): Promise<MadeRevocation> {
    return await this.#api.json("POST", `/v1/orgs/${encodeURIComponent(id)}/revocations`, {}, revocation);
  }
}
