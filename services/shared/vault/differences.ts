import { isDeepStrictEqual } from "node:util";

/** What is missing among things that have names, and what should not be among them, in words. */
export function compareNames(what: string, wanted: string[], present: string[]): string[] {
  return [
    ...wanted.filter((name) => !present.includes(name)).map((name) => `${what} ${name} is missing`),
    ...present.filter((name) => !wanted.includes(name)).map((name) => `${what} ${name} should not be there`),
  ];
}

/**
 * Which fields of a thing differ, in words that hold no value. A field that is not wanted must be empty
 * rather than absent: each version of Vault shows some more of them.
 */
export function compareFields(what: string, wanted: object, present: object): string[] {
  const [a, b] = [new Map(Object.entries(wanted)), new Map(Object.entries(present))];
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((field) => !isDeepStrictEqual(orEmpty(a.get(field)), orEmpty(b.get(field))))
    .map((field) => `${what}: ${field} is not as it should be`);
}

function orEmpty(value: unknown): unknown {
  if (typeof value === "object" && value !== null) {
    return Object.keys(value).length > 0 ? value : undefined;
  }
  return value || undefined;
}
