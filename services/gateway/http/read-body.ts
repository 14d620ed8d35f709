import type { Readable } from "node:stream";
import type { Server } from "../../shared/http/server.ts";
import { boundedLogin } from "./login-body.ts";

/** Reads bodies as bytes, whatever their content type; a login's body has its own limit. */
export function readBodies(app: Server): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.addHook("preParsing", ({ headers, passage }, reply, payload, done) => {
    const isLogin = passage.isOpen && headers["transfer-encoding"] !== undefined;
    done(null, isLogin ? boundedLogin(payload as Readable, reply) : payload);
  });
}
