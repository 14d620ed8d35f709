import type { CommandTable } from "./command.ts";

/** The commands of `strongroom connection`. */
export const CONNECTION_COMMANDS: CommandTable = {
  start: [
    "have a provider delegate to the organization, in a browser on this machine",
    async () => (await import("./commands/connection.ts")).startCommand,
  ],
  list: [
    "list an organization's connections",
    async () => (await import("./commands/connection.ts")).listCommand,
  ],
  show: [
    "show a connection: its scopes, and who connected it",
    async () => (await import("./commands/connection.ts")).showCommand,
  ],
  reduce: [
    "give scopes up that a connection need not have",
    async () => (await import("./commands/connection.ts")).reduceCommand,
  ],
  delete: [
    "revoke a connection at its provider, and delete it",
    async () => (await import("./commands/connection.ts")).deleteCommand,
  ],
  providers: [
    "list the providers that are known by name",
    async () => (await import("./commands/connection.ts")).providersCommand,
  ],
};
