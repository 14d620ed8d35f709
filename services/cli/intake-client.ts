import { randomUUID } from "node:crypto";
import type {
  Connection,
  ConnectionPage,
  ConnectionProviders,
  DeletedConnection,
  StartConnection,
  StartedConnection,
} from "../shared/api/connections.ts";
import type {
  Credential,
  CredentialPage,
  PutCredential,
  SealedPurpose,
  SealingKeys,
} from "../shared/api/credentials.ts";
import type { Feed, FeedItemPage, FeedPage, PutFeed } from "../shared/api/feeds.ts";
import type { CheckpointKeySet, ReceiptPage } from "../shared/api/receipts.ts";
import type { PutRotation, Rotation, RotationRun, RotationRunPage } from "../shared/api/rotations.ts";
import type { CheckedRules, CheckRules, CredentialRules } from "../shared/api/rules.ts";
import type { PutSchedule, Schedule, SchedulePage } from "../shared/api/schedules.ts";
import type { CreateToken, IssuedToken } from "../shared/api/tokens.ts";
import type { CreateUse, Rewrap, Use, UsePage, UseWithResult } from "../shared/api/uses.ts";
import type {
  Delivery,
  DeliveryPage,
  PutWebhook,
  SendWebhook,
  Webhook,
  WebhookPage,
  WebhookWithSecret,
} from "../shared/api/webhooks.ts";
import { StrongroomError } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";
import { ApiClient, JSON_LINES } from "./api-client.ts";
import { Failure } from "./failure.ts";
import type { CallRequest } from "./use-request.ts";

const PAGES_AT_MOST = 1000;

/** What narrows a list of receipts. */
export interface ReceiptFilter {
  credential?: string | undefined;
  id?: string | undefined;
}

/** What narrows a list of jobs. */
export interface UseFilter {
  state?: string;
  credential?: string;
}

/**
 * A client of the intake's API, as a member of an organization. Throws the StrongroomError that an error response
 * names, or a Failure: `unavailable` if the API does not answer, `permission` if it refuses the token.
 */
export class Intake {
  readonly #api: ApiClient;

  /** `token` is called before each request; it may return the same token again. */
  constructor(address: string, token: () => Promise<Secret>) {
    this.#api = new ApiClient({ name: "intake", address, setting: "STRONGROOM_INTAKE", token });
  }

  putCredential = (name: string, body: PutCredential) =>
    this.#json<Credential>("PUT", at("credentials", name), body);
  credential = (name: string) => this.#json<Credential>("GET", at("credentials", name));
  credentials = () =>
    this.#all<CredentialPage, Credential>(at("credentials"), {}, ({ credentials }) => credentials);
  deleteCredential = (name: string) => this.#json<void>("DELETE", at("credentials", name));
  setCredential = (name: string, now: "enable" | "disable") =>
    this.#json<Credential>("POST", at("credentials", name, now));
  rules = (name: string) => this.#json<CredentialRules>("GET", at("credentials", name, "rules"));
  /** Changes the rules, without the value; only if the credential has this version, if one is given. */
  putRules = (name: string, body: CredentialRules, version?: string) =>
    this.#json<Credential>(
      "PUT",
      at("credentials", name, "rules"),
      body,
      version === undefined ? {} : { "If-Match": `"${version}"` },
    );
  checkRules = (name: string, body: CheckRules) =>
    this.#json<CheckedRules>("POST", at("credentials", name, "rules", "check"), body);
  /** Has the broker send a request. Returns what the destination answered, whatever its status. */
  call = (name: string, { method, target, headers, body }: CallRequest) =>
    this.#asMember(() => this.#api.relayed(method, `${at("use", name)}${target}`, headers, body));
  /** A short-lived token in exchange for it. */
  exchangeToken = (name: string, body: CreateToken) =>
    this.#json<IssuedToken>("POST", at("credentials", name, "token"), body);
  /** Has a worker seal it anew. */
  rewrap = (name: string) => this.#json<Rewrap>("POST", at("credentials", name, "rewrap"));
  sealingKeys = (purpose: SealedPurpose) =>
    this.#json<SealingKeys>("GET", query(at("sealing-keys"), { purpose }));

  startConnection = (body: StartConnection) => this.#json<StartedConnection>("POST", at("connections"), body);
  completeConnection = (name: string, callback: string) =>
    this.#json<Connection>("POST", at("connections", name, "complete"), { callback });
  connection = (name: string) => this.#json<Connection>("GET", at("connections", name));
  connections = () =>
    this.#all<ConnectionPage, Connection>(at("connections"), {}, ({ connections }) => connections);
  reduceConnection = (name: string, scopes: string[]) =>
    this.#json<Connection>("PATCH", at("connections", name), { scopes });
  /** `force`: also if the provider cannot be told. */
  deleteConnection = (name: string, force: boolean) =>
    this.#json<DeletedConnection>("DELETE", `${at("connections", name)}${force ? "?force=true" : ""}`);
  connectionProviders = async () =>
    (await this.#json<ConnectionProviders>("GET", at("connection-providers"))).providers;

  /** Has a credential used once. The same key with the same request returns the same job. */
  createUse = (body: CreateUse, idempotencyKey: string = randomUUID()) =>
    this.#json<Use>("POST", at("jobs"), body, { "Idempotency-Key": idempotencyKey });
  use = (id: string) => this.#json<UseWithResult>("GET", at("jobs", id));
  /** A job of either type. */
  job = (id: string) => this.#json<UseWithResult | Rewrap>("GET", at("jobs", id));
  jobWithoutResult = (id: string) => this.#json<UseWithResult>("GET", `${at("jobs", id)}?result=omit`);
  /** The newest jobs, at most `limit`. */
  uses = (filter: UseFilter, limit: number) =>
    this.#all<UsePage, Use>(at("jobs"), { ...filter }, ({ jobs }) => jobs, limit);
  redrive = (id: string) => this.#json<Use>("POST", at("jobs", id, "redrive"));

  putWebhook = (name: string, body: PutWebhook) =>
    this.#json<WebhookWithSecret>("PUT", at("webhooks", name), body);
  webhook = (name: string) => this.#json<Webhook>("GET", at("webhooks", name));
  webhooks = () => this.#all<WebhookPage, Webhook>(at("webhooks"), {}, ({ webhooks }) => webhooks);
  setWebhook = (name: string, now: "enable" | "disable") =>
    this.#json<Webhook>("POST", at("webhooks", name, now));
  rotateWebhook = (name: string) => this.#json<WebhookWithSecret>("POST", at("webhooks", name, "rotate"));
  deleteWebhook = (name: string) => this.#json<void>("DELETE", at("webhooks", name));
  send = (name: string, body: SendWebhook) =>
    this.#json<Delivery>("POST", at("webhooks", name, "send"), body);
  /** The newest deliveries, at most `limit`. */
  deliveries = (name: string, limit: number) =>
    this.#all<DeliveryPage, Delivery>(
      at("webhooks", name, "deliveries"),
      {},
      ({ deliveries }) => deliveries,
      limit,
    );
  redeliver = (name: string, delivery: string) =>
    this.#json<Delivery>("POST", at("webhooks", name, "deliveries", delivery, "redeliver"));

  putFeed = (name: string, body: PutFeed) => this.#json<Feed>("PUT", at("feeds", name), body);
  feeds = () => this.#all<FeedPage, Feed>(at("feeds"), {}, ({ feeds }) => feeds);
  /** Has it fetched now instead of when it is due. */
  fetchFeed = (name: string) => this.#json<Feed>("POST", at("feeds", name, "fetch"));
  /** One page of items; its `next` returns newer ones later. */
  feedItems = (name: string, cursor: string | undefined, limit: number) =>
    this.#json<FeedItemPage>("GET", query(at("feeds", name, "items"), { cursor, limit: String(limit) }));
  deleteFeed = (name: string) => this.#json<void>("DELETE", at("feeds", name));

  putRotation = (name: string, body: PutRotation) =>
    this.#json<Rotation>("PUT", at("credentials", name, "rotation"), body);
  rotation = (name: string) => this.#json<Rotation>("GET", at("credentials", name, "rotation"));
  startRotation = (name: string) =>
    this.#json<RotationRun>("POST", at("credentials", name, "rotation", "start"));
  rotationRun = (name: string, id: string) =>
    this.#json<RotationRun>("GET", at("credentials", name, "rotation", "runs", id));
  rotationRuns = (name: string) =>
    this.#all<RotationRunPage, RotationRun>(
      at("credentials", name, "rotation", "runs"),
      {},
      ({ runs }) => runs,
    );

  putSchedule = (name: string, body: PutSchedule) => this.#json<Schedule>("PUT", at("schedules", name), body);
  schedules = () => this.#all<SchedulePage, Schedule>(at("schedules"), {}, ({ schedules }) => schedules);
  deleteSchedule = (name: string) => this.#json<void>("DELETE", at("schedules", name));

  /** The newest receipts, at most `limit`, with where the chain stands. */
  async receipts(filter: ReceiptFilter, limit: number): Promise<Omit<ReceiptPage, "next">> {
    const receipts: ReceiptPage["receipts"] = [];
    let first: ReceiptPage | undefined;
    let before: string | undefined;
    for (let pages = 0; pages < PAGES_AT_MOST && receipts.length < limit; pages++) {
      const page: ReceiptPage = await this.#json(
        "GET",
        query(at("receipts"), { ...filter, limit: "100", before }),
      );
      first ??= page;
      receipts.push(...page.receipts);
      before = page.next;
      if (!before) break;
    }
    if (!first) throw new Failure("usage", "--limit is at least 1");
    const { head, checkpoint } = first;
    return { receipts: receipts.slice(0, limit), head, ...(checkpoint && { checkpoint }) };
  }
  receiptKeys = () => this.#json<CheckpointKeySet>("GET", at("receipts", "keys"));
  /** The organization's whole chain, as JSON lines. */
  async exportReceipts(): Promise<AsyncIterable<Uint8Array>> {
    const headers = { Accept: JSON_LINES };
    const { body } = await this.#asMember(() => this.#api.request("GET", at("receipts", "export"), headers));
    if (!body) throw new Failure("failure", "The intake's export is empty");
    return body;
  }

  /** All pages of a list, up to `limit` items. */
  async #all<Page extends { next?: string }, T>(
    path: string,
    filter: Record<string, string | undefined>,
    itemsOf: (page: Page) => T[],
    limit = Number.POSITIVE_INFINITY,
  ): Promise<T[]> {
    const items: T[] = [];
    let cursor: string | undefined;
    for (let pages = 0; pages < PAGES_AT_MOST && items.length < limit; pages++) {
      const page: Page = await this.#json("GET", query(path, { ...filter, limit: "100", cursor }));
      items.push(...itemsOf(page));
      cursor = page.next;
      if (!cursor) break;
    }
    return items.slice(0, limit);
  }

  async #json<T>(
    method: string,
    path: string,
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<T> {
    return this.#asMember(() => this.#api.json<T>(method, path, headers, body));
  }

  async #asMember<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof StrongroomError) || error.code !== "unauthenticated") throw error;
      throw new Failure(
        "permission",
        error.message,
        "Members' tokens expire after minutes. Check the one in STRONGROOM_TOKEN_FILE, or get a new one.",
      );
    }
  }
}

const at = (...parts: string[]) => `/v1/${parts.map(encodeURIComponent).join("/")}`;

function query(path: string, parameters: Record<string, string | undefined>): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value) given.set(name, value);
  return `${path}?${given}`;
}
