import { request } from "node:https";
import { readText } from "../../shared/files.ts";
import { brokerFiles } from "./broker-connection.ts";
import type { StateFolder } from "./state-folder.ts";

const TIMEOUT_MS = 2_000;

/** Whether the broker answers, asked with the intake's certificate as it answers nobody else. */
export async function brokerAnswers(state: StateFolder, address: string): Promise<boolean> {
  const files = brokerFiles(state).intake;
  const [cert, key, ca] = await Promise.all([files.certificate, files.key, files.broker].map(readText));
  if (!cert || !key || !ca) return false;
  const options = {
    // Its certificate is its own authority, and has no address in it.
    ...{ cert, key, ca, checkServerIdentity: () => undefined },
    ...{ agent: false, timeout: TIMEOUT_MS },
  };
  return new Promise((resolve) => {
    const asked = request(`${address}/healthz`, options, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.once("timeout", () => asked.destroy(new Error("no answer")));
    asked.once("error", () => resolve(false));
    asked.end();
  });
}
