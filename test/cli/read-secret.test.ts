import { PassThrough, Readable } from "node:stream";
import { expect, test } from "vitest";
import { Output } from "../../services/cli/output.ts";
import { readSecret, refuseArgument } from "../../services/cli/read-secret.ts";

const output = () => {
  const stderr = new PassThrough();
  const out = new Output(new PassThrough(), stderr);
  return { out, shown: () => String(stderr.read() ?? "") };
};
const read = async (...chunks: (Buffer | string)[]) =>
  (await readSecret(output().out, "Value", Readable.from(chunks, { objectMode: true }))).reveal();

test("stdin's text is the value, without one last line break", async () => {
  expect(await read("sk_", "1234\n")).toBe("sk_1234");
  expect(await read("sk_1234\r\n")).toBe("sk_1234");
  expect(await read("-----BEGIN KEY-----\nabc\n\n")).toBe("-----BEGIN KEY-----\nabc\n");
  expect(await read(Buffer.from([0xc3]), Buffer.from([0xbc]), "ber")).toBe("über");
});

test("nothing, too much, or no text is refused", async () => {
  await expect(read("\n")).rejects.toMatchObject({
    exit: "usage",
    message: "Value: nothing was given on stdin",
  });
  await expect(read("x".repeat(64 * 1024 + 3))).rejects.toMatchObject({
    exit: "usage",
    message: "The value is longer than 64 KiB",
  });
  await expect(read(Buffer.from([0xff, 0xfe]))).rejects.toMatchObject({
    exit: "usage",
    message: "The value is not text in UTF-8",
  });
});

/** A terminal, which has its raw mode recorded. */
function terminal() {
  const modes: boolean[] = [];
  const input = Object.assign(new PassThrough(), {
    isTTY: true as const,
    setRawMode: (mode: boolean) => void modes.push(mode),
  });
  return { input: input as unknown as NodeJS.ReadStream, type: (text: string) => input.write(text), modes };
}

test("on a terminal it is asked for and not shown, and backspace works", async () => {
  const { out, shown } = output();
  const { input, type, modes } = terminal();
  const value = readSecret(out, "Value of stripe", input);
  type("sk_12");
  type("5\u007f34\r");
  expect((await value).reveal()).toBe("sk_1234");
  expect(modes).toEqual([true, false]);
  expect(shown()).toBe("Value of stripe (not shown): \n");
});

test("Ctrl-C at the prompt ends the command, with the terminal as it was", async () => {
  const { input, type, modes } = terminal();
  const value = readSecret(output().out, "Value", input);
  type("sk_12\u0003");
  await expect(value).rejects.toMatchObject({ exit: "interrupted" });
  expect(modes).toEqual([true, false]);
});

test("a value on the command line is refused, with the way that is meant, and is not repeated", () => {
  expect(() => refuseArgument([], "strongroom credential put stripe …")).not.toThrow();
  try {
    refuseArgument(["sk_live_secret"], "strongroom credential put stripe …");
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ exit: "usage", hint: expect.stringContaining("put stripe … < FILE") });
    expect(JSON.stringify(error) + String(error)).not.toContain("sk_live_secret");
  }
});
