import type { PolicyDocument, Statement } from "./iam.ts";

/** A policy that somebody has loosened, or broken, in one place. */
export interface Mutant {
  what: string;
  document: PolicyDocument;
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: it is IAM's own variable
export const TAG_VARIABLE = "${aws:PrincipalTag/org}";

/** Every statement left out, every condition left out or made optional, every own thing made everybody's. */
export function mutantsOf({ Version, Statement }: PolicyDocument): Mutant[] {
  const withStatement = (n: number, change: (statement: Statement) => void): PolicyDocument => {
    const copy = structuredClone(Statement);
    change(copy[n] as Statement);
    return { Version, Statement: copy };
  };
  return [
    { what: "of a version without variables", document: { Version: "2008-10-17", Statement } },
    ...Statement.flatMap((statement, n): Mutant[] => {
      const name = statement.Sid ?? `statement ${n}`;
      return [
        { what: `without ${name}`, document: { Version, Statement: Statement.filter((_, i) => i !== n) } },
        ...mutatedConditions(statement).map(({ what, condition }) => ({
          what: `${name}: ${what}`,
          document: withStatement(n, (copy) => {
            copy.Condition = condition;
          }),
        })),
        ...mutatedResources(statement).map(({ what, change }) => ({
          what: `${name}: ${what}`,
          document: withStatement(n, change),
        })),
      ];
    }),
  ];
}

function mutatedConditions({ Condition = {} }: Statement) {
  return Object.entries(Condition).flatMap(([operator, keys]) =>
    Object.entries(keys).flatMap(([key, value]) => {
      const { [key]: _, ...otherKeys } = keys;
      const { [operator]: __, ...others } = Condition;
      const rest = Object.keys(otherKeys).length > 0 ? { ...others, [operator]: otherKeys } : others;
      const replaced = (values: string | string[]) => ({
        ...Condition,
        [operator]: { ...keys, [key]: values },
      });
      const widened = [value].flat().map((each) => each.replaceAll(TAG_VARIABLE, "*"));
      return [
        { what: `no ${operator} ${key}`, condition: rest },
        ...([value].flat().some((each) => each.includes(TAG_VARIABLE))
          ? [
              {
                what: `${key} of everybody`,
                condition: { ...rest, StringLike: { ...rest.StringLike, [key]: widened } },
              },
            ]
          : []),
        ...(Array.isArray(value) && value.length > 1
          ? value.map((gone) => ({
              what: `${operator} ${key} without ${gone}`,
              condition: replaced(value.filter((each) => each !== gone)),
            }))
          : []),
      ];
    }),
  );
}

function mutatedResources(statement: Statement) {
  return (["Resource", "NotResource"] as const).flatMap((field) => {
    const resources = [statement[field] ?? []].flat();
    const put = (n: number, resource: string) => (copy: Statement) => {
      copy[field] = resources.with(n, resource);
    };
    return resources.flatMap((resource, n) => [
      ...(resource.includes(TAG_VARIABLE)
        ? [
            { what: `${field} of everybody`, change: put(n, resource.replaceAll(TAG_VARIABLE, "*")) },
            {
              what: `${field} by its beginning`,
              change: put(n, resource.replace(/[^}]*$/, "*").replace(TAG_VARIABLE, "o")),
            },
          ]
        : []),
      ...(resource === "*" ? [] : [{ what: `${field} *`, change: put(n, "*") }]),
    ]);
  });
}
