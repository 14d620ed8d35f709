import type { CallFailure } from "../../../../services/shared/broker/calls.ts";
import type { UseOptions } from "../../../harness/broker.ts";
import type { TakenOverIntake } from "../../../harness/taken-over-intake.ts";

/** An attempt of hostile code in the intake's place that must fail for this reason, with nothing sent to anyone. */
export interface Way {
  way: string;
  attempt(thief: TakenOverIntake): Promise<{ failure?: string; isSent?: boolean }>;
  failure: CallFailure | CallFailure[];
}

/** A use of the victim, with changes. */
export const use = (
  way: string,
  failure: Way["failure"],
  options: (thief: TakenOverIntake) => UseOptions | Promise<UseOptions>,
): Way => ({
  ...{ way, failure },
  async attempt(thief) {
    const { failed } = await thief.stage.use({ ...thief.victim, ...(await options(thief)) });
    return { ...failed };
  },
});

/** A call of an operation. */
export const ask = (
  way: string,
  failure: Way["failure"],
  operation: string,
  body: (thief: TakenOverIntake) => object | Promise<object>,
): Way => ({
  ...{ way, failure },
  async attempt(thief) {
    const { json } = await thief.stage.ask(operation, await body(thief));
    return json as { failure?: string };
  },
});

/** The same host at another port: the last digit, which may be any, is another one. */
export const atOtherPort = (origin: string): string =>
  `${origin.slice(0, -1)}${origin.endsWith("1") ? "2" : "1"}`;
