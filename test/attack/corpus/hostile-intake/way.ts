import type { Kind } from "../../../../services/shared/work/kinds.ts";
import type { FailureClass } from "../../../../services/shared/work/messages.ts";
import type { Takeover } from "../../../harness/takeover.ts";

/** A message of hostile code in the intake's place that must fail for this reason, with nothing sent to anyone. */
export interface Way {
  way: string;
  /** `integration` unless given. */
  kind?: Kind;
  message(takeover: Takeover): Promise<{ job: string } & Record<string, unknown>>;
  failure: FailureClass;
}
