import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Moto } from "./install-moto.ts";

/** An AWS emulator of one's own, empty, on loopback. */
export interface MotoServer {
  endpoint: string;
  stop(): Promise<void>;
}

const START_MS = 60_000;

/** moto's own server, which ends when its standard input does: however this process ends, none is left behind. */
const PROGRAM = `
import os, runpy, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
sys.argv = ["moto.server", "-H", "127.0.0.1", "-p", "0"]
runpy.run_module("moto.server", run_name="__main__")
`;

export async function startMoto(moto: Moto): Promise<MotoServer> {
  if ("missing" in moto) throw new Error(moto.missing);
  const child = spawn(moto.python, ["-c", PROGRAM], {
    env: { PATH: process.env.PATH, PYTHONPATH: moto.folder, PYTHONDONTWRITEBYTECODE: "1" },
    stdio: ["pipe", "ignore", "pipe"],
  });
  const ended = once(child, "exit");
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await ended;
    }
  };
  let text = "";
  const endpoint = await new Promise<string>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`moto ${why}:\n${text}`));
    const timer = setTimeout(() => fail("did not start in time"), START_MS);
    createInterface({ input: child.stderr }).on("line", (line) => {
      const [, url] = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(line) ?? [];
      if (url) {
        clearTimeout(timer);
        resolve(url);
      } else if (text.length < 10_000) text += `${line}\n`;
    });
    child.once("exit", () => {
      clearTimeout(timer);
      fail("ended at its start");
    });
  }).catch(async (error) => {
    await stop();
    throw error;
  });
  return { endpoint, stop };
}
