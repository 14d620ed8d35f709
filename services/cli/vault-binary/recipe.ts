import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The versions of a build of Vault, read from the Go module that builds it. */
export interface Recipe {
  /** The module's folder, absolute. */
  folder: string;
  /** The Vault version it builds, like `1.21.2`. */
  vault: string;
  /** The oldest Go version that builds it, like `1.25.3`. */
  go: string;
  /** The binary's name in the cache: the version and a digest of the module's files. */
  id: string;
}

const MODULE = fileURLToPath(new URL("../../../infra/vault", import.meta.url));
const FILES = ["go.mod", "go.sum", "main.go"];

/** Reads the recipe of a build from source (default: `infra/vault/go.mod`). */
export async function readRecipe(folder = MODULE): Promise<Recipe> {
  const texts = await Promise.all(FILES.map((name) => readFile(join(folder, name), "utf8")));
  const goMod = texts[0] ?? "";
  const vault = /^\s*github\.com\/hashicorp\/vault v(\d+\.\d+\.\d+)\s*$/m.exec(goMod)?.[1];
  const go = /^go (\d+\.\d+(?:\.\d+)?)\s*$/m.exec(goMod)?.[1];
  if (!vault || !go) throw new Error(`${join(folder, "go.mod")}: names no Vault version or no Go version`);
  const digest = createHash("sha256");
  for (const text of texts) digest.update(`${Buffer.byteLength(text)}\n${text}`);
  return { folder, vault, go, id: `${vault}-${digest.digest("hex").slice(0, 12)}` };
}

/** Whether a version like `1.21.2` equals or is newer than the other; ignores text after the three numbers. */
export function isAtLeast(version: string, minimum: string): boolean {
  const [have, want] = [version, minimum].map((text) =>
    text.split(".").map((part) => Number.parseInt(part, 10)),
  );
  for (let i = 0; i < 3; i++) {
    const difference = (have?.[i] ?? 0) - (want?.[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
