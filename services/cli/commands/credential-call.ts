import { once } from "node:events";
import type { CliCommand } from "../command.ts";
import { Failure } from "../failure.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import type { Session } from "../session.ts";
import { callOf, declareRequest, type RequestOptions } from "../use-request.ts";

export const callCommand: CliCommand = {
  declare(line) {
    declareMember(declareRequest(line))
      .option("--include", "print the answer's status and headers before its body")
      .addHelpText(
        "after",
        `
The broker sends the request with the credential, as the credential's rules allow. stdout has the body of what the
destination answered, as it comes; stderr its status and the receipt's id. The destination's own errors are answers too.

Examples:
  strongroom credential call stripe GET /v1/balance --org acme --group writer
  strongroom credential call stripe POST /v1/refunds --org acme --group writer --header 'Content-Type: application/json' \\
    --data '{"charge":"ch_1"}'`,
      );
  },
  run: call,
};

type CallOptions = MemberOptions & RequestOptions & { include?: boolean };

/** An answer that is printed as JSON is held whole. */
const MOST_JSON_BYTES = 16 * 1024 * 1024;

/** `strongroom credential call <credential> <method> <path>`: prints the destination's answer. */
async function call(
  session: Session,
  [credential = "", method = "", path = ""]: string[],
  options: CallOptions,
): Promise<undefined> {
  const { out } = session;
  const request = await callOf(method, path, options);
  const response = await (await intakeAs(session, options)).call(credential, request);
  const { status, headers } = response;
  const receipt = headers.get("strongroom-receipt") ?? "";
  out.note(`${status} from the destination; receipt ${receipt}`);
  if (out.json) {
    const body = await whole(response);
    const text = body.toString("utf8");
    const isText = Buffer.from(text, "utf8").equals(body);
    const shown = isText
      ? { encoding: "utf8", body: text }
      : { encoding: "base64", body: body.toString("base64") };
    out.data({ status, headers: [...headers], receipt, ...shown }, () => []);
    return;
  }
  if (options.include) {
    const lines = [...headers].map(([name, value]) => `${name}: ${value}`);
    out.stdout.write(`${[`HTTP/1.1 ${status}`, ...lines].join("\r\n")}\r\n\r\n`);
  }
  for await (const chunk of parts(response)) {
    if (!out.stdout.write(chunk)) await once(out.stdout, "drain");
  }
}

/** The parts of a body. Failure if the connection broke before its end. */
async function* parts({ body }: Response): AsyncGenerator<Uint8Array> {
  try {
    yield* body ?? [];
  } catch {
    throw new Failure(
      "failure",
      "The answer broke off before its end",
      "The receipt says why: strongroom receipts list",
    );
  }
}

async function whole(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of parts(response)) {
    size += chunk.length;
    if (size > MOST_JSON_BYTES) throw new Failure("failure", "The answer is too long for --json");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
