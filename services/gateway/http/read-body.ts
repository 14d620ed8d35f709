import type { Readable } from "node:stream";
import type { Limits } from "../../shared/front/limits.ts";
import { boundPieces } from "../../shared/front/uploads.ts";
import type { Server } from "../../shared/http/server.ts";
import { chargePieces } from "../charges.ts";
import { boundedLogin } from "./login-body.ts";

/** Has bodies read as bytes, whatever their content type says, in a bounded number of pieces, and short ones of logins. */
export function readBodies(app: Server, limits: Limits): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.addHook("preParsing", ({ raw, ip, headers, passage }, reply, payload, done) => {
    boundPieces(raw, () => chargePieces(limits, passage.trace.org, ip));
    const isLogin = passage.isOpen && headers["transfer-encoding"] !== undefined;
    done(null, isLogin ? boundedLogin(payload as Readable, reply) : payload);
  });
}
