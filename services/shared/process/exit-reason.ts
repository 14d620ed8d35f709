const LIMIT = 600;

/** Matches Vault tokens, JWTs and PEM blocks. Vault should not log them, but a displayed reason must not rely on it. */
const SECRETS =
  /\b(?:hv[sbr]|[sbr])\.[A-Za-z0-9_-]{20,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*|-----BEGIN[\s\S]*?(?:-----END[^-]*-----|$)/g;

/**
 * The reason why a Vault server ended, as one line from its output since its start: the plain text that it prints if
 * it cannot start, otherwise its last warning or error in the log.
 */
export function exitReason(log: string): string | undefined {
  const lines = log.split("\n");
  const plain = withoutBanner(lines).filter((line) => line.trim() !== "" && !isLogLine(line));
  return tidy(plain.length > 0 ? plain.join(" ") : lastComplaint(lines));
}

/** The reason why a running Vault server is sealed: its last unseal error since it was last unsealed. */
export function sealedReason(log: string): string | undefined {
  const lines = log.split("\n");
  const since = lines.slice(lines.findLastIndex((line) => /vault is unsealed/.test(line)) + 1);
  return tidy(lastComplaint(since.filter((line) => /(?<!post-)unseal/.test(line))));
}

/** Vault's banner of a successful start, and its headings. */
function withoutBanner(lines: string[]): string[] {
  const started = lines.findLastIndex((line) => line.startsWith("==> Vault server started!"));
  return lines.slice(started + 1).filter((line) => !line.startsWith("==>"));
}

function isLogLine(line: string): boolean {
  return line.startsWith("{") || /^\S+T\S+ +\[[A-Z]+\]/.test(line);
}

function lastComplaint(lines: string[]): string | undefined {
  for (const line of lines.toReversed()) {
    if (/^\S+T\S+ +\[(ERROR|WARN)\]/.test(line)) return line.replace(/^\S+ +\[[A-Z]+\] */, "");
    const entry = parse(line);
    if (entry?.["@level"] !== "error" && entry?.["@level"] !== "warn") continue;
    const { "@message": message, error, err } = entry;
    return [message, error ?? err].filter((each) => typeof each === "string").join(": ");
  }
  return undefined;
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function tidy(text: string | undefined): string | undefined {
  const line = text?.replace(SECRETS, "[secret]").replace(/\s+/g, " ").trim();
  return line && line.length > LIMIT ? `${line.slice(0, LIMIT)}…` : line;
}
