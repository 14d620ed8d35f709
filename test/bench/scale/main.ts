import { cpus } from "node:os";
import { measureDirectory } from "./directory.ts";
import { measurePublishing } from "./publishing.ts";
import { exceeded, holds } from "./quotas.ts";
import { newImage, onboarding, pass, simulate, start } from "./simulate.ts";

const SIZES = [100, 1_000, 10_000, 100_000];
const AT_ONCE = [1, 10, 100, 750];
const CELL = 750;
const PUBLISHED = [100, CELL, 2_000];
const IN_CELL = [100, CELL, 3_000];

const seconds = (ms: number) => Math.round(ms / 100) / 10;
const median = (values: number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const rates = AT_ONCE.map((orgs) => {
  const ends = simulate(Array.from({ length: orgs }, () => onboarding));
  return { orgs, firstSeconds: seconds(Math.min(...ends)), lastSeconds: seconds(Math.max(...ends)) };
});
const last = (processes: Parameters<typeof simulate>[0]) => seconds(Math.max(...simulate(processes)));
const controlPlane = IN_CELL.map((orgs) => ({
  orgs,
  passSeconds: last(pass(orgs)),
  startSeconds: last(start(orgs)),
  newImageSeconds: last(newImage(orgs)),
}));

const published = await measurePublishing(PUBLISHED);
const publishing = {
  ...published,
  publishMs: published.publishMs.map(({ orgs, ms }) => ({ orgs, ms: Math.round(median(ms)) })),
};
process.stderr.write(`publishing: ${JSON.stringify(publishing)}\n`);

const directories = [];
for (const size of SIZES) {
  const { takeMs, updateMs, heapBytes, bytes, ...rest } = await measureDirectory(size);
  const row = {
    ...rest,
    megabytes: Math.round(bytes / 1e5) / 10,
    takeMs: Math.round(median(takeMs)),
    updateMs: rest.refused ? "not fetched" : Math.round(median(updateMs)),
    heapMegabytes: Math.round(heapBytes / 1e5) / 10,
  };
  directories.push(row);
  process.stderr.write(`directory: ${JSON.stringify(row)}\n`);
}

process.stdout.write(
  `${JSON.stringify(
    {
      node: process.version,
      cpus: cpus().length,
      model: cpus()[0]?.model,
      holds: holds(),
      exceeded: SIZES.map((orgs) => ({ orgs, cells: Math.ceil(orgs / CELL), inOneCell: exceeded(orgs) })),
      onboarding: rates,
      controlPlane,
      publishing,
      directories,
    },
    null,
    2,
  )}\n`,
);
