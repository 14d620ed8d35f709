import { addAbortSignal, Readable } from "node:stream";
import { Type } from "typebox";
import {
  CheckpointKeySet,
  CheckpointPage,
  CheckpointsQuery,
  ReceiptPage,
  ReceiptsQuery,
} from "../../shared/api/receipts.ts";
import { problems } from "../../shared/http/openapi.ts";
import type { Server } from "../../shared/http/server.ts";
import { EXPORT_TYPE, writeLines } from "../../shared/receipts/export.ts";
import type { Intake } from "../dependencies.ts";
import { memberOf } from "../http/caller.ts";
import { OpenStreams } from "../jobs/streams.ts";
import { exportReceipts, listCheckpoints, listReceipts } from "../receipts/read.ts";

const access = { right: "receipts" } as const;
/** At once, for an organization at one intake. */
const MOST_EXPORTS = 2;

/** Receipts: list, checkpoints, the keys that verify them, and the whole chain. */
export function receiptRoutes(app: Server, intake: Pick<Intake, "store" | "now" | "receiptsSigner">): void {
  const closing = new AbortController();
  const exports = new OpenStreams(
    MOST_EXPORTS,
    `The organization exports its receipts ${MOST_EXPORTS} times already.`,
  );
  app.addHook("preClose", async () => closing.abort());

  app.get(
    "/v1/receipts",
    {
      config: { access },
      schema: {
        summary: "List receipts, newest first unless `after` is given",
        querystring: ReceiptsQuery,
        response: { 200: ReceiptPage, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => listReceipts(intake, memberOf(request).org, request.query),
  );

  app.get(
    "/v1/receipts/checkpoints",
    {
      config: { access },
      schema: {
        summary: "List checkpoints, newest first: where the chain stood, signed",
        querystring: CheckpointsQuery,
        response: { 200: CheckpointPage, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => listCheckpoints(intake.store, memberOf(request).org, request.query),
  );

  app.get(
    "/v1/receipts/keys",
    {
      config: { access },
      schema: {
        summary: "Get the public keys that verify checkpoints, as a JWK set",
        description: "Keep them apart from the platform, so that it cannot replace them",
        response: { 200: CheckpointKeySet, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (): Promise<CheckpointKeySet> => ({
      keys: (await intake.receiptsSigner.publicKeys()) as CheckpointKeySet["keys"],
    }),
  );

  app.get(
    "/v1/receipts/export",
    {
      config: { access },
      schema: {
        summary: "Export the whole chain, with its checkpoints",
        description:
          "JSON lines: the chain, its entries with checkpoints between, and an end without which it is not whole",
        response: {
          200: {
            description: "JSON lines",
            content: { [EXPORT_TYPE]: { schema: Type.Unsafe<Readable>(Type.String()) } },
          },
          ...problems(400, 401, 403, 429, 503),
        },
      },
    },
    async (request, reply) => {
      const { org } = memberOf(request);
      const release = exports.admit(org);
      if (reply.raw.destroyed) release();
      else reply.raw.once("close", release);
      const lines = Readable.from(writeLines(exportReceipts(intake, org)), { objectMode: false });
      return reply.type(EXPORT_TYPE).send(addAbortSignal(closing.signal, lines));
    },
  );
}
