import type { Logger } from "pino";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { RequestLine } from "../../shared/front/request-log.ts";
import { createServer, type Server } from "../../shared/http/server.ts";

/** The values read at each scrape. */
export interface Gauges {
  /** Organizations in the directory, and its version; undefined without one. */
  directory(): { version: number; orgs: number } | undefined;
  /** Open circuits and requests not yet answered, over all organizations' Vaults. */
  upstreams(): { openCircuits: number; pending: number };
  /** The number of callers' Vault tokens kept. */
  logins(): number;
}

/** Reasons are a closed set except for codes of unforeseen errors; beyond this many series they become `other`. */
const MAX_SERIES = 1_000;
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * The gateway's metrics, for Prometheus. Their labels are routes, decisions and reasons, and never an organization, a
 * caller or a path, so the number of series is bounded and they identify nobody.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<"route" | "decision" | "reason">;
  readonly #seconds: Histogram<"route">;
  readonly #upstreamSeconds: Histogram;
  /** The counters and histograms in use, looked up without building a label set each time. */
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
      help: "Requests by route, decision and reason",
    });
    this.#seconds = new Histogram({
      ...{ name: "strongroom_gateway_request_seconds", registers, labelNames: ["route"], buckets: SECONDS },
      help: "Time from a request's headers to the end of its response",
    });
    this.#upstreamSeconds = new Histogram({
      ...{ name: "strongroom_gateway_upstream_seconds", registers, buckets: SECONDS },
      help: "Time an organization's Vault takes to begin its response, including a login if one is needed",
    });
  }

  /** Counts a completed request. */
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

  /** Registers gauges that are read at each scrape. Call it once. */
  watch({ directory, upstreams, logins }: Gauges): void {
    const gauge = (name: string, help: string, value: () => number) =>
      new Gauge({
        ...{ name: `strongroom_gateway_${name}`, help, registers: [this.#registry] },
        collect() {
          this.set(value());
        },
      });
    gauge(
      "directory_version",
      "Version of the directory in use; 0 without one",
      () => directory()?.version ?? 0,
    );
    gauge("organizations", "Organizations in the directory", () => directory()?.orgs ?? 0);
    gauge("open_circuits", "Organizations' Vaults with an open circuit", () => upstreams().openCircuits);
    gauge("upstream_pending", "Requests sent to Vaults and not yet answered", () => upstreams().pending);
    gauge("logins", "Callers' Vault tokens kept in memory", logins);
  }

  /** All metrics, in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}

/** A separate server for the metrics, to listen on an address that only the scraper can reach. */
export function buildMetricsServer(metrics: Metrics, logger: Logger): Server {
  const app = createServer(logger);
  const access = { open: "it listens on a separate address, which the operator keeps private" };
  app.get("/metrics", { config: { access } }, async (_request, reply) =>
    reply
      .type(metrics.contentType)
      .header("Cache-Control", "no-store")
      .send(await metrics.text()),
  );
  return app;
}
