import type { CommandTable } from "./command.ts";

/** The commands below `strongroom credential`. */
export const CREDENTIAL_COMMANDS: CommandTable = {
  put: [
    "store a credential, or a new version of it",
    async () => (await import("./commands/credential.ts")).putCommand,
  ],
  list: [
    "list an organization's credentials",
    async () => (await import("./commands/credential.ts")).listCommand,
  ],
  show: [
    "show everything about a credential but its value",
    async () => (await import("./commands/credential.ts")).showCommand,
  ],
  disable: [
    "refuse every use of a credential from now on",
    async () => (await import("./commands/credential.ts")).disableCommand,
  ],
  enable: [
    "allow the use of a disabled credential again",
    async () => (await import("./commands/credential.ts")).enableCommand,
  ],
  delete: [
    "destroy a credential's value for good",
    async () => (await import("./commands/credential.ts")).deleteCommand,
  ],
  rewrap: [
    "have credentials sealed anew after their key was rotated",
    async () => (await import("./commands/rewrap.ts")).rewrapCommand,
  ],
  call: [
    "have the broker send a request with a credential, and print the answer",
    async () => (await import("./commands/credential-call.ts")).callCommand,
  ],
  rules: [
    "see, change and try who may send what with a credential of the broker",
    {
      show: ["show the rules", async () => (await import("./commands/credential-rules.ts")).showRulesCommand],
      set: [
        "change the rules, without the value",
        async () => (await import("./commands/credential-rules.ts")).setRulesCommand,
      ],
      check: [
        "see which rule would allow a request",
        async () => (await import("./commands/credential-rules.ts")).checkRulesCommand,
      ],
    },
  ],
  seal: [
    "seal a value on this machine and print the body that stores it",
    async () => (await import("./commands/credential.ts")).sealCommand,
  ],
  rotation: [
    "replace a credential's value by a new one that nobody sees",
    {
      set: [
        "set how and how often a credential is rotated",
        async () => (await import("./commands/credential-rotation.ts")).setCommand,
      ],
      start: [
        "rotate a credential now",
        async () => (await import("./commands/credential-rotation.ts")).startCommand,
      ],
      status: [
        "show when a credential is rotated, and how far a rotation is",
        async () => (await import("./commands/credential-rotation.ts")).statusCommand,
      ],
      history: [
        "list a credential's rotations, newest first",
        async () => (await import("./commands/credential-rotation.ts")).historyCommand,
      ],
    },
  ],
};
