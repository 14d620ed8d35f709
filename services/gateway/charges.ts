import type { IncomingMessage } from "node:http";
import { UNITS_OF_PIECES, unitsOfAnswer, unitsOfBody, unitsOfHead } from "../shared/front/cost.ts";
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

/** Charges a body that comes in too many pieces to the organization, or to the address if that is not known. */
export function chargePieces(limits: Limits, org: string | undefined, address: string | undefined): void {
  if (org) limits.chargeOrg(org, UNITS_OF_PIECES);
  else limits.countAddress(address, performance.now(), UNITS_OF_PIECES);
}
