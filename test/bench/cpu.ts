import { readdir, readFile } from "node:fs/promises";

/** User and system time of a process so far, in µs, by the scheduler's own account (Linux). */
export async function cpuMicros(pid: number): Promise<number> {
  let nanos = 0;
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const stat = await readFile(`/proc/${pid}/task/${thread}/schedstat`, "utf8").catch(() => "0");
    nanos += Number(stat.split(" ")[0]);
  }
  return nanos / 1000;
}
