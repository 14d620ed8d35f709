import type { CommandTable } from "./command.ts";
import { CONNECTION_COMMANDS } from "./connection-commands.ts";
import { CREDENTIAL_COMMANDS } from "./credential-commands.ts";

/** All commands, in the order of the help. */
export const COMMANDS: CommandTable = {
  up: [
    "run the whole platform on this machine until Ctrl-C",
    async () => (await import("./commands/up.ts")).upCommand,
  ],
  bootstrap: [
    "bootstrap an internal Vault that runs elsewhere, for example in a container",
    async () => (await import("./commands/bootstrap.ts")).bootstrapCommand,
  ],
  "bootstrap-aws": [
    "bootstrap the internal Vault on AWS; docs/aws.md says when",
    async () => (await import("./commands/bootstrap-aws.ts")).bootstrapAwsCommand,
  ],
  status: [
    "show the platform's services and the state of every organization",
    async () => (await import("./commands/status.ts")).statusCommand,
  ],
  logs: [
    "print the log of an organization's Vault or of a platform service",
    async () => (await import("./commands/logs.ts")).logsCommand,
  ],
  org: [
    "manage organizations",
    {
      create: [
        "onboard an organization with a Vault of its own",
        async () => (await import("./commands/org.ts")).createCommand,
      ],
      list: ["list all organizations", async () => (await import("./commands/org.ts")).listCommand],
      show: [
        "show everything known about an organization",
        async () => (await import("./commands/org.ts")).showCommand,
      ],
      delete: [
        "stop an organization's Vault permanently; its storage and seal key are kept until a purge",
        async () => (await import("./commands/org.ts")).deleteCommand,
      ],
      repair: [
        "rewrite an organization's policies, logins and audit devices, as this machine's operator",
        async () => (await import("./commands/repair.ts")).repairCommand,
      ],
      reassign: [
        "assign an organization to another claim, or adopt its issuer's current settings and keys",
        async () => (await import("./commands/reassign.ts")).reassignCommand,
      ],
      revoke: [
        "revoke tokens of an organization before they expire; takes effect within seconds",
        async () => (await import("./commands/revoke.ts")).revokeCommand,
      ],
      job: [
        "follow an onboarding or a deletion until it ends",
        async () => (await import("./commands/org-job.ts")).jobCommand,
      ],
      "machine-tokens": [
        "manage the Vault tokens that an organization's admins create for machines without a JWT",
        async () => (await import("./commands/machine-tokens.ts")).machineTokensCommand,
      ],
    },
  ],
  issuer: [
    "manage the issuer of organizations' tokens",
    {
      rotate: [
        "add the issuer's current signing keys to its organizations' Vaults",
        async () => (await import("./commands/rotate.ts")).rotateCommand,
      ],
    },
  ],
  audit: [
    "check and search the audit records",
    {
      verify: [
        "verify that the control plane's audit trail is intact, and print its head",
        async () => (await import("./commands/audit-verify.ts")).verifyCommand,
      ],
      trace: [
        "show every record of one request: the gateway's, the Vault's, the control plane's",
        async () => (await import("./commands/audit-trace.ts")).traceCommand,
      ],
    },
  ],
  credential: [
    "manage what an organization gives the platform to use and nobody reads back",
    CREDENTIAL_COMMANDS,
  ],
  connection: ["use an API by OAuth, instead of a key for it", CONNECTION_COMMANDS],
  job: [
    "use a credential for one request",
    {
      run: [
        "have a worker send a request with a credential",
        async () => (await import("./commands/use.ts")).runCommand,
      ],
      list: ["list an organization's jobs", async () => (await import("./commands/use.ts")).listCommand],
      show: [
        "show a job and, while it is kept, its answer",
        async () => (await import("./commands/use.ts")).showCommand,
      ],
      redrive: [
        "have a failed job tried again",
        async () => (await import("./commands/use.ts")).redriveCommand,
      ],
    },
  ],
  "dead-letters": [
    "as this machine's operator, look at job messages that no worker could handle",
    {
      list: [
        "list the dead letters of a kind, without what is in them",
        async () => (await import("./commands/dead-letters.ts")).listCommand,
      ],
      redrive: [
        "send dead letters to the worker again",
        async () => (await import("./commands/dead-letters.ts")).redriveCommand,
      ],
    },
  ],
  schedule: [
    "use a credential again and again",
    {
      put: ["create or replace a schedule", async () => (await import("./commands/schedule.ts")).putCommand],
      list: [
        "list an organization's schedules",
        async () => (await import("./commands/schedule.ts")).listCommand,
      ],
      delete: ["delete a schedule", async () => (await import("./commands/schedule.ts")).deleteCommand],
    },
  ],
  webhook: [
    "send signed webhooks",
    {
      put: [
        "create or change a receiver; prints a new one's secret once",
        async () => (await import("./commands/webhook.ts")).putCommand,
      ],
      list: [
        "list an organization's receivers",
        async () => (await import("./commands/webhook.ts")).listCommand,
      ],
      show: ["show a receiver", async () => (await import("./commands/webhook.ts")).showCommand],
      send: ["send a payload", async () => (await import("./commands/webhook.ts")).sendCommand],
      deliveries: [
        "list a receiver's deliveries and their attempts",
        async () => (await import("./commands/webhook.ts")).deliveriesCommand,
      ],
      redeliver: [
        "send a delivery again",
        async () => (await import("./commands/webhook.ts")).redeliverCommand,
      ],
      rotate: [
        "make a new secret and print it once; the old one signs too for a while",
        async () => (await import("./commands/webhook.ts")).rotateCommand,
      ],
      enable: [
        "enable a receiver again, also one that failed for days",
        async () => (await import("./commands/webhook.ts")).enableCommand,
      ],
      disable: [
        "send nothing to a receiver for now",
        async () => (await import("./commands/webhook.ts")).disableCommand,
      ],
      delete: ["delete a receiver", async () => (await import("./commands/webhook.ts")).deleteCommand],
    },
  ],
  feed: [
    "follow RSS, Atom and JSON feeds",
    {
      put: ["follow a feed, or change one", async () => (await import("./commands/feed.ts")).putCommand],
      list: ["list an organization's feeds", async () => (await import("./commands/feed.ts")).listCommand],
      items: [
        "print a feed's items in the order in which they came",
        async () => (await import("./commands/feed.ts")).itemsCommand,
      ],
      fetch: [
        "fetch a feed now instead of when it is due",
        async () => (await import("./commands/feed.ts")).fetchCommand,
      ],
      delete: ["delete a feed", async () => (await import("./commands/feed.ts")).deleteCommand],
    },
  ],
  receipts: [
    "see and verify what credentials were used for",
    {
      list: [
        "list an organization's receipts, newest first",
        async () => (await import("./commands/receipts.ts")).listCommand,
      ],
      verify: [
        "verify that no receipt was changed or removed, and print the newest checkpoint",
        async () => (await import("./commands/receipts.ts")).verifyCommand,
      ],
      export: [
        "print all receipts and checkpoints as JSON lines",
        async () => (await import("./commands/receipts.ts")).exportCommand,
      ],
      keys: [
        "print the public keys that sign checkpoints",
        async () => (await import("./commands/receipts.ts")).keysCommand,
      ],
    },
  ],
  token: [
    "print a token from the local identity provider",
    async () => (await import("./commands/token.ts")).tokenCommand,
    {
      exchange: [
        "exchange a credential that nobody reads for a short-lived token",
        async () => (await import("./commands/token-exchange.ts")).exchangeCommand,
      ],
    },
  ],
  env: [
    'print VAULT_ADDR and VAULT_TOKEN for a shell: eval "$(strongroom env --org acme)"',
    async () => (await import("./commands/env.ts")).envCommand,
  ],
  vault: [
    "run the vault program against the gateway, with a token of the organization",
    async () => (await import("./commands/vault.ts")).vaultCommand,
  ],
  doctor: [
    "check this machine and its platform",
    async () => (await import("./commands/doctor.ts")).doctorCommand,
  ],
};
