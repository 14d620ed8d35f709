import { watch } from "node:fs";
import { fileURLToPath } from "node:url";
import { sourceFolder } from "./service-process.ts";
import type { ServiceName } from "./state-folder.ts";

/** An editor that saves a file, or git that changes many, tells of it more than once. */
const QUIET_MS = 200;

/** Calls back with a file's name each time the source of a service, or what services share, has changed. */
export function watchSource(
  service: ServiceName,
  signal: AbortSignal,
  onChange: (file: string) => void,
): void {
  let timer: NodeJS.Timeout | undefined;
  for (const folder of [sourceFolder(service), "shared"]) {
    const path = fileURLToPath(new URL(`../../${folder}`, import.meta.url));
    watch(path, { recursive: true, signal }, (_, file) => {
      if (!file?.endsWith(".ts")) return;
      clearTimeout(timer);
      timer = setTimeout(() => onChange(`services/${folder}/${file}`), QUIET_MS);
    });
  }
}
