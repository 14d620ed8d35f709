import { parseArgs } from "node:util";
import { S3Client } from "@aws-sdk/client-s3";
import { restoreBucket } from "./restore-bucket.ts";

const USAGE = "usage: node infra/recovery/main.ts --bucket NAME --at 2026-11-24T03:00:00Z [--write]\n";

const { values } = parseArgs({
  options: { bucket: { type: "string" }, at: { type: "string" }, write: { type: "boolean", default: false } },
});
const at = new Date(values.at ?? "");
if (!values.bucket || !/Z$/.test(values.at ?? "") || Number.isNaN(at.getTime()) || at > new Date()) {
  process.stderr.write(USAGE);
  process.exitCode = 2;
} else {
  const { putBack, removed, unchanged } = await restoreBucket(new S3Client(), values.bucket, at, values);
  for (const key of putBack) process.stdout.write(`restored ${key}\n`);
  for (const key of removed) process.stdout.write(`removed  ${key}\n`);
  process.stderr.write(
    `${putBack.length} restored, ${removed.length} removed, ${unchanged} unchanged${values.write ? "" : ". This was a dry run: nothing was written. Pass --write to apply."}\n`,
  );
}
