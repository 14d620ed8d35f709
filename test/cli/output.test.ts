import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { Failure } from "../../services/cli/failure.ts";
import { Output, table } from "../../services/cli/output.ts";

function recorded() {
  const texts = { stdout: "", stderr: "" };
  const stream = (name: keyof typeof texts) =>
    new Writable({
      write(chunk, _, done) {
        texts[name] += chunk;
        done();
      },
    });
  return { texts, out: new Output(stream("stdout"), stream("stderr")) };
}

test("data goes to stdout, as text or as JSON; everything else to stderr", () => {
  const { texts, out } = recorded();
  out.data({ a: 1 }, () => ["one", "two"]);
  out.json = true;
  out.data({ a: 1 }, () => "text");
  out.note("a note");
  out.failure(new Failure("failure", "It failed", "Do this"));
  expect(texts.stdout).toBe('one\ntwo\n{\n  "a": 1\n}\n');
  expect(texts.stderr).toBe("a note\nError: It failed\nDo this\n");
});

test("nothing to say is no line", () => {
  const { texts, out } = recorded();
  out.data([], () => []);
  expect(texts.stdout).toBe("");
});

test("styles stay away from what is not a terminal", () => {
  expect(recorded().out.style("red", "text")).toBe("text");
});

test("columns are as wide as their widest cell, without space at the end", () => {
  expect(
    table(
      ["NAME", "X"],
      [
        ["acme-corporation", ""],
        ["b", "1"],
      ],
    ),
  ).toEqual(["NAME              X", "acme-corporation", "b                 1"]);
});
