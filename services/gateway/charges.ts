import type { IncomingMessage } from "node:http";
import { unitsOfAnswer, unitsOfBody, unitsOfHead } from "../shared/front/cost.ts";
import type { Limits } from "../shared/front/limits.ts";
import { announcedBytes } from "../shared/front/uploads.ts";

/** A request that has come to nothing, and its body if that was read. */
interface Failed {
  raw: IncomingMessage;
  address: string | undefined;
  body?: unknown;
}

/** Has an address pay for a request that came to nothing, by what the request cost. */
export function chargeFailed(limits: Limits, { raw, address, body }: Failed): void {
  const read = Buffer.isBuffer(body) ? unitsOfBody(body.length) : unitsOfAnswer(announcedBytes(raw));
  limits.countAddress(address, performance.now(), unitsOfHead(raw) + read);
}
