import { isDeepStrictEqual } from "node:util";

/** The missing and the unexpected names in a set, as text. */
export function compareNames(what: string, wanted: string[], present: string[]): string[] {
  return [
    ...wanted.filter((name) => !present.includes(name)).map((name) => `${what} ${name} is missing`),
    ...present.filter((name) => !wanted.includes(name)).map((name) => `${what} ${name} is not expected`),
  ];
}

/**
 * The fields that differ, as text without values. A field that is not wanted may be present if it is empty, since each
 * version of Vault shows some more fields.
 */
export function compareFields(what: string, wanted: object, present: object): string[] {
  const [a, b] = [new Map(Object.entries(wanted)), new Map(Object.entries(present))];
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((field) => !isDeepStrictEqual(orEmpty(a.get(field)), orEmpty(b.get(field))))
    .map((field) => `${what}: ${field} differs from the expected value`);
}

function orEmpty(value: unknown): unknown {
  if (typeof value === "object" && value !== null) {
    return Object.keys(value).length > 0 ? value : undefined;
  }
  return value || undefined;
}
