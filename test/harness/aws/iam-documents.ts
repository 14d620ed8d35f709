type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/**
 * A policy document as IAM returns it: the meaning is kept, the text is not. Keys come in another order, and
 * lists of one are folded or unfolded as `choose` says.
 */
export function asIamReturnsIt(document: string, choose: () => boolean): string {
  return JSON.stringify(shuffled(JSON.parse(document) as Json, choose, ""));
}

const NEVER_LISTS = new Set(["Version", "Effect", "Principal", "Condition"]);

function shuffled(value: Json, choose: () => boolean, key: string): Json {
  if (Array.isArray(value)) {
    const members = value.map((each) => shuffled(each, choose, key));
    const [one, another] = members;
    if (one !== undefined && another === undefined && choose()) return one;
    return choose() ? members.reverse() : members;
  }
  if (typeof value !== "object" || value === null) {
    const isListed = key !== "" && !NEVER_LISTS.has(key) && choose();
    return isListed ? [value] : value;
  }
  const entries = Object.entries(value).map(([name, each]): [string, Json] => [
    name,
    shuffled(each, choose, name),
  ]);
  return Object.fromEntries(choose() ? entries.reverse() : entries);
}
