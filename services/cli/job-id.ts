import { Check } from "typebox/value";
import { WorkId } from "../shared/work/messages.ts";
import { Failure } from "./failure.ts";

/** The id of a job or a delivery, as given. Throws a usage Failure for another text; `list` prints the ids. */
export function jobId(text: string, list: string): string {
  if (Check(WorkId, text)) return text;
  throw new Failure("usage", `${JSON.stringify(text)} is not an id`, `List the ids with: ${list}`);
}
