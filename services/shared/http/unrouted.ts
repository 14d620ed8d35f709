import { StrongroomError } from "../errors.ts";
import type { Server } from "./server.ts";

/**
 * Refuses requests without a route before anything else examines them: `method_not_allowed` with an `Allow` header
 * if the path has other methods, otherwise `not_found`. Fastify would parse the body first, and fail for a QUERY
 * without a content type. Call this before the routes and before any other `onRequest` hook.
 */
export function refuseUnrouted(app: Server): void {
  const table: { path: RegExp; methods: Set<string> }[] = [];
  app.addHook("onRoute", ({ url, method }) => {
    const path = new RegExp(`^${url.replace(/:[a-z]+/g, "[^/]+").replace(/\*$/, ".*")}$`);
    let row = table.find((each) => each.path.source === path.source);
    if (!row) {
      row = { path, methods: new Set() };
      table.push(row);
    }
    for (const each of [method].flat()) row.methods.add(each);
  });
  app.addHook("onRequest", async (request, reply) => {
    if (!request.is404) return;
    const path = decoded(request.url.split("?", 1)[0] ?? "");
    const methods = table.find((each) => each.path.test(path))?.methods;
    if (!methods) throw new StrongroomError("not_found", "There is no such path.");
    const allow = [...methods].sort().join(", ");
    reply.header("Allow", allow);
    throw new StrongroomError("method_not_allowed", `This path supports only ${allow}.`);
  });
}

/** Decodes a path as Fastify's router does: encoded separators stay encoded. */
function decoded(path: string): string {
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}
