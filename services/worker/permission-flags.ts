/** What a worker's process is given. All paths are absolute. */
export interface Grants {
  /** Folders and files of the code: `services`, `node_modules`, `package.json`. */
  code: string[];
  /** The folder of its queues; undefined with SQS. */
  queues?: string;
  /** Files of its settings: `*_FILE`. */
  files: string[];
}

/**
 * The flags of Node that a worker is started with: it reads its code and its own files, writes its queues' folder, and
 * starts no process, thread or debugger. It is one wall of several: Node's permission model covers neither the network
 * nor, in Node 24, the files that `node:sqlite` opens. The owner and mode of files keep a worker from those.
 */
export const permissionFlags = ({ code, queues, files }: Grants): string[] => [
  "--permission",
  ...[...code, ...files, ...(queues ? [queues] : [])].map((path) => `--allow-fs-read=${path}`),
  ...(queues ? [`--allow-fs-write=${queues}`] : []),
  "--disable-sigusr1",
  "--disallow-code-generation-from-strings",
  "--no-addons",
];

/** An idle worker is smaller than 110 MB with these: it keeps little alive, and runs WebAssembly only to strip types. */
export const MEMORY_FLAGS = ["--max-semi-space-size=1", "--liftoff-only"] as const;

/** What a worker's environment has beside its settings. One arena saves 9 MB. */
export const WORKER_ENVIRONMENT = { MALLOC_ARENA_MAX: "1" } as const;
