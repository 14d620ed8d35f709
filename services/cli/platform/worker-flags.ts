/** What a worker's process may touch. All paths are absolute. */
export interface Grants {
  /** Folders and files of the code: `services`, `node_modules`, `package.json`. */
  code: string[];
  /** The folder of its queues; undefined with SQS. */
  queues?: string;
  /** Files of its settings (`*_FILE`), or the folder that holds them. */
  files: string[];
  /** A folder that it writes too, for its copies of published documents. */
  copies?: string;
}

/**
 * Node's flags for a worker: it reads its code and its own files, writes its queues' folder and its copies, and starts no
 * process, thread or debugger. They are one wall of several: Node's permission model covers neither the network nor, in
 * Node 24, the files that `node:sqlite` opens.
 */
export function permissionFlags({ code, queues, files, copies }: Grants): string[] {
  const written = [queues, copies].filter((path) => path !== undefined);
  return [
    "--permission",
    ...[...code, ...files, ...written].map((path) => `--allow-fs-read=${path}`),
    ...written.map((path) => `--allow-fs-write=${path}`),
    "--disable-sigusr1",
    "--disallow-code-generation-from-strings",
    "--no-addons",
  ];
}

/**
 * They save a fifth of the memory of an idle intake or worker, which runs WebAssembly only to strip types. A smaller young
 * generation would save 5 MB more and cost a tenth of the jobs a second.
 */
export const MEMORY_FLAGS = ["--max-semi-space-size=4", "--liftoff-only"];

/** One arena of malloc saves 9 MB. */
export const MEMORY_ENVIRONMENT = { MALLOC_ARENA_MAX: "1" };
