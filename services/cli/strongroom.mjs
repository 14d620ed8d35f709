#!/usr/bin/env node
// Plain JavaScript, so that a Node too old for TypeScript gets this message instead of a syntax error.
const [major] = process.versions.node.split(".").map(Number);
if (major < 24) {
  process.stderr.write(
    `strongroom needs Node 24 (this is ${process.version}). The checkout brings its own: run "npm ci", then "npx strongroom".\n`,
  );
  process.exit(69);
}
await import("./main.ts");
