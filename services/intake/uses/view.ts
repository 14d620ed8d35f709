import type { Answer, Failure, Use, UseWithResult } from "../../shared/api/uses.ts";
import { FAILURES } from "../../shared/work/messages.ts";
import type { JobFailure, JobRecord, UseWork } from "../jobs/records.ts";
import type { StoredResult } from "./work-type.ts";

/** A use as the API shows it. */
export function asUse(job: JobRecord<UseWork>): Use {
  const { id, state, attempt, createdAt, endedAt, failure, work } = job;
  const { credential, version, level, method, path, schedule, status, resultUntil } = work;
  return {
    ...{ id, state: state === "waiting" ? "queued" : state, credential, version, level, method, path },
    ...(schedule !== undefined && { schedule }),
    attempt,
    ...(failure && { failure: asFailure(failure) }),
    ...(status !== undefined && { status }),
    createdAt,
    ...(endedAt !== undefined && { endedAt }),
    ...(resultUntil !== undefined && { resultUntil }),
  };
}

export const asFailure = (failure: JobFailure): Failure => ({
  ...failure,
  isTransient: FAILURES[failure.class].isTransient,
});

/** A result as the API shows it. */
export function asResult(result: StoredResult): NonNullable<UseWithResult["result"]> {
  if (result.state === "sealed") return { sealed: { enc: result.enc, ciphertext: result.ciphertext } };
  const { status, headers, body, scrubbed } = result;
  return { answer: { status, headers, scrubbed, ...readable(body) } };
}

function readable(base64: string): Pick<Answer, "encoding" | "body"> {
  try {
    const body = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Buffer.from(base64, "base64"),
    );
    return { encoding: "utf8", body };
  } catch {
    return { encoding: "base64", body: base64 };
  }
}
