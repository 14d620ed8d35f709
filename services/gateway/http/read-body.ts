import type { Readable } from "node:stream";
import type { Limits } from "../../shared/front/limits.ts";
import { boundPieces } from "../../shared/front/uploads.ts";
import type { Server } from "../../shared/http/server.ts";
import { boundedLogin } from "../answer/login.ts";
import { chargePieces } from "../charges.ts";

/**
 * Reads bodies as bytes, whatever their content type, in a bounded number of pieces; a login's body has its own limit.
 */
export function readBodies(app: Server, limits: Limits): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.addHook("preParsing", ({ raw, ip, headers, passage }, reply, payload, done) => {
    boundPieces(raw, () => chargePieces(limits, passage.trace.org, ip));
    const isLogin = passage.isOpen && headers["transfer-encoding"] !== undefined;
    done(null, isLogin ? boundedLogin(payload as Readable, reply) : payload);
  });
}
