type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Labels: they change nothing of what a policy allows, and IAM may add empty ones. */
const LABELS = new Set(["Sid", "Id"]);

/**
 * Whether two policy documents, as JSON, mean the same. IAM stores a document's meaning and not its text: it
 * returns other key order, one-element arrays folded or unfolded, an account's id as its root's ARN, booleans
 * and numbers as strings. What is not JSON is equal to nothing.
 */
export function isSamePolicy(one: string, other: string): boolean {
  try {
    return canonical(JSON.parse(one) as Json) === canonical(JSON.parse(other) as Json);
  } catch {
    return false;
  }
}

/** One text for all documents of one meaning. */
function canonical(document: Json): string {
  return JSON.stringify(ordered(document, []));
}

function ordered(value: Json, path: string[]): Json {
  if (Array.isArray(value)) {
    // Everything that a policy lists is a set: of statements, actions, principals, values.
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

/** A member of a document, in the form that lists what may be listed. */
function member(key: string, value: Json, path: string[]): Json {
  if (path.length === 0 && key === "Version") return value;
  const isGroup = typeof value === "object" && value !== null && !Array.isArray(value);
  // `"Principal": "*"` is every principal of any kind, as `{"AWS": "*"}` is.
  if (key.endsWith("Principal") && value === "*") return member(key, { AWS: "*" }, path);
  if (isGroup && key !== "Statement") return ordered(value, [...path, key]);
  return ordered(Array.isArray(value) ? value : [value], [...path, key]);
}
