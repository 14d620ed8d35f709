import type { Readable } from "node:stream";
import type { Server } from "../../shared/http/server.ts";
import { boundedLogin } from "./login-body.ts";

/** Has bodies read as bytes, whatever their content type says, and logins' in a few KiB. */
export function readBodies(app: Server): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.addHook("preParsing", ({ headers, passage }, reply, payload, done) => {
    const isLogin = passage.isOpen && headers["transfer-encoding"] !== undefined;
    done(null, isLogin ? boundedLogin(payload as Readable, reply) : payload);
  });
}
