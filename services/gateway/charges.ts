import type { IncomingMessage } from "node:http";
import { unitsOfAnswer, unitsOfBody, unitsOfHead } from "../shared/front/cost.ts";
import type { Limits } from "../shared/front/limits.ts";
import { announcedBytes } from "../shared/front/uploads.ts";

/** A failed request, with its body if that was read. */
interface Failed {
  raw: IncomingMessage;
  address: string | undefined;
  body?: unknown;
}

/** Charges a failed request to its client's address, by what it cost. */
export function chargeFailed(limits: Limits, { raw, address, body }: Failed): void {
  const read = Buffer.isBuffer(body) ? unitsOfBody(body.length) : unitsOfAnswer(announcedBytes(raw));
  limits.countAddress(address, performance.now(), unitsOfHead(raw) + read);
}
