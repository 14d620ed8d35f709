type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Labels do not change what a policy allows, and IAM may add empty ones. */
const LABELS = new Set(["Sid", "Id"]);

/**
 * Whether two policy documents, as JSON, are equivalent. IAM stores a document's meaning, not its text: it may
 * change key order, fold or unfold one-element arrays, and return an account's id as its root's ARN, and booleans
 * and numbers as strings. Text that is not JSON equals nothing.
 */
export function isSamePolicy(one: string, other: string): boolean {
  try {
    return canonical(JSON.parse(one) as Json) === canonical(JSON.parse(other) as Json);
  } catch {
    return false;
  }
}

/** The canonical text of all equivalent documents. */
function canonical(document: Json): string {
  return JSON.stringify(ordered(document, []));
}

function ordered(value: Json, path: string[]): Json {
  if (Array.isArray(value)) {
    // Every list in a policy is a set: of statements, actions, principals or values.
    const members = value.map((each) => JSON.stringify(ordered(each, path)));
    return [...new Set(members)].sort().map((text) => JSON.parse(text) as Json);
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value)
      .filter(([key]) => !LABELS.has(key))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]): [string, Json] => [key, member(key, each, path)]);
    return Object.fromEntries(entries);
  }
  const text = String(value);
  const [, account] = /^arn:[^:]+:iam::(\d{12}):root$/.exec(text) ?? [];
  return path.at(-2)?.endsWith("Principal") && path.at(-1) === "AWS" && account ? account : text;
}

/** A member of a document, with a single value as a list if it may be a list. */
function member(key: string, value: Json, path: string[]): Json {
  if (path.length === 0 && key === "Version") return value;
  const isGroup = typeof value === "object" && value !== null && !Array.isArray(value);
  // `"Principal": "*"` is every principal of any kind, as `{"AWS": "*"}` is.
  if (key.endsWith("Principal") && value === "*") return member(key, { AWS: "*" }, path);
  if (isGroup && key !== "Statement") return ordered(value, [...path, key]);
  return ordered(Array.isArray(value) ? value : [value], [...path, key]);
}
