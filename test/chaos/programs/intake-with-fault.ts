import { registerHooks } from "node:module";

/** The intake as it is, but that its queues are those of `queues-with-fault.ts`, in which it dies by SIGKILL. */
const FAULTY = new URL("queues-with-fault.ts", import.meta.url).href;

registerHooks({
  resolve(specifier, context, next) {
    const resolved = next(specifier, context);
    const isReplaced = resolved.url.endsWith("/shared/queue/open-queues.ts") && context.parentURL !== FAULTY;
    return isReplaced ? { ...resolved, url: FAULTY } : resolved;
  },
});
await import("../../../services/intake/main.ts");
