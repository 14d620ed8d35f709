import type { PolicyDocument, Statement } from "../iam.ts";
import { mutantsOf } from "../mutants.ts";

interface Loosened {
  what: string;
  document: PolicyDocument;
  /** The services that the changed statement is about. */
  services: string[];
}

const list = <T>(value: T | T[] | undefined): T[] => (value === undefined ? [] : ([value].flat() as T[]));
const servicesOf = (statement: Statement | undefined) => [
  ...new Set(list(statement?.Action).map((action) => action.split(":")[0] ?? "")),
];

/**
 * {@link mutantsOf}, and each statement with one action less, with all actions of its services, or for everybody.
 */
export function loosened(policy: PolicyDocument): Loosened[] {
  const { Version, Statement } = policy;
  const all = [...new Set(Statement.flatMap(servicesOf))];
  const changed = (n: number, what: string, change: Partial<Statement>): Loosened => ({
    what: `${Statement[n]?.Sid ?? `statement ${n}`}: ${what}`,
    document: { Version, Statement: Statement.with(n, { ...(Statement[n] as Statement), ...change }) },
    services: servicesOf(Statement[n]),
  });
  return [
    ...mutantsOf(policy).map((mutant) => {
      const about = Statement.filter(({ Sid }) => Sid !== undefined && mutant.what.includes(Sid));
      return { ...mutant, services: about.length > 0 ? about.flatMap(servicesOf) : all };
    }),
    ...Statement.flatMap((statement, n) => {
      const actions = list(statement.Action);
      const whole = servicesOf(statement).map((service) => `${service}:*`);
      return [
        ...(actions.length > 1
          ? actions.map((gone) =>
              changed(n, `without ${gone}`, { Action: actions.filter((action) => action !== gone) }),
            )
          : []),
        ...(statement.Effect === "Allow" ? [changed(n, whole.join(), { Action: whole })] : []),
        ...(statement.Effect === "Allow" && statement.Principal !== undefined
          ? [changed(n, "for everybody", { Principal: { AWS: "*" } })]
          : []),
      ];
    }),
  ];
}
