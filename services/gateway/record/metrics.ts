import type { Logger } from "pino";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { createServer, type Server } from "../../shared/http/server.ts";
import type { RequestLine } from "./request-log.ts";

/** What is read when the metrics are asked for. */
export interface Gauges {
  /** Organizations in the directory, and its version; undefined without one. */
  directory(): { version: number; orgs: number } | undefined;
  /** Of the organizations' Vaults: circuits that are open, requests not yet answered. */
  upstreams(): { openCircuits: number; pending: number };
  /** The callers' Vault tokens that are kept. */
  logins(): number;
}

/** Reasons are a closed set but for codes of unforeseen errors; beyond this many series they are `other`. */
const MAX_SERIES = 1_000;
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * The gateway's metrics, for Prometheus. Their labels are routes, decisions and reasons: no organization, no
 * caller and no path is among them, so their number is bounded and they name nobody.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<"route" | "decision" | "reason">;
  readonly #seconds: Histogram<"route">;
  readonly #upstreamSeconds: Histogram;
  /** The counters and histograms in use, found without making a label set each time. */
  readonly #counters = new Map<string, { inc(): void }>();
  readonly #histograms = new Map<string, { observe(value: number): void }>();

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Counter({
      ...{
        name: "strongroom_gateway_requests_total",
        registers,
        labelNames: ["route", "decision", "reason"],
      },
      help: "Requests by route, what was decided, and why",
    });
    this.#seconds = new Histogram({
      ...{ name: "strongroom_gateway_request_seconds", registers, labelNames: ["route"], buckets: SECONDS },
      help: "From a request's head to the end of its answer",
    });
    this.#upstreamSeconds = new Histogram({
      ...{ name: "strongroom_gateway_upstream_seconds", registers, buckets: SECONDS },
      help: "From the work with an organization's Vault, a login included, to the head of its answer",
    });
  }

  /** Counts a request that has ended. */
  observe({ route = "none", decision, reason = "ok", ms, upstreamMs }: RequestLine): void {
    const name = `${route} ${decision} ${reason}`;
    let counter = this.#counters.get(name);
    if (!counter) {
      const known = this.#counters.size < MAX_SERIES;
      counter = this.#requests.labels({ route, decision, reason: known ? reason : "other" });
      if (known) this.#counters.set(name, counter);
    }
    counter.inc();
    let histogram = this.#histograms.get(route);
    if (!histogram) {
      histogram = this.#seconds.labels({ route });
      this.#histograms.set(route, histogram);
    }
    histogram.observe(ms / 1_000);
    if (upstreamMs !== undefined) this.#upstreamSeconds.observe(upstreamMs / 1_000);
  }

  /** Has these read whenever the metrics are asked for. Call it once. */
  watch({ directory, upstreams, logins }: Gauges): void {
    const gauge = (name: string, help: string, value: () => number) =>
      new Gauge({
        ...{ name: `strongroom_gateway_${name}`, help, registers: [this.#registry] },
        collect() {
          this.set(value());
        },
      });
    gauge("directory_version", "The directory in use; 0 without one", () => directory()?.version ?? 0);
    gauge("organizations", "Organizations in the directory", () => directory()?.orgs ?? 0);
    gauge("open_circuits", "Organizations' Vaults that do not answer", () => upstreams().openCircuits);
    gauge("upstream_pending", "Requests sent to Vaults and not answered yet", () => upstreams().pending);
    gauge("logins", "Callers' Vault tokens that are kept", logins);
  }

  /** All of it, in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}

/** A server of its own for the metrics, to listen where only the one who scrapes them can reach. */
export function buildMetricsServer(metrics: Metrics, logger: Logger): Server {
  const app = createServer(logger);
  const access = { open: "it listens on an address of its own, which the operator keeps private" };
  app.get("/metrics", { config: { access } }, async (_request, reply) =>
    reply
      .type(metrics.contentType)
      .header("Cache-Control", "no-store")
      .send(await metrics.text()),
  );
  return app;
}
