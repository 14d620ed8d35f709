import { StrongroomError } from "../errors.ts";
import { LEVELS, type Level } from "../org.ts";

/** Rights apart from the levels, by the group that gives each. An admin has them all. */
export const RIGHTS = {
  /** Start rotations and watch them. */
  rotate: "rotation-operator",
  /** Read and verify receipts. */
  receipts: "auditor",
} as const;
export type Right = keyof typeof RIGHTS;

interface Groups {
  groups: readonly string[];
}

/**
 * The highest level among a token's groups, `reader` without any. Undefined for a token that has only rights: whoever
 * rotates a credential, or reads receipts, reads nothing else.
 */
export function levelOf({ groups }: Groups): Level | undefined {
  const level = LEVELS.findLast((each) => groups.includes(each)) ?? "reader";
  const hasRights = Object.values(RIGHTS).some((group) => groups.includes(group));
  return hasRights && level === "reader" ? undefined : level;
}

/** {@link levelOf}. Throws `forbidden` if the token has no level. */
export function requireLevel(identity: Groups): Level {
  const level = levelOf(identity);
  if (level) return level;
  const groups = identity.groups.filter((each) => Object.values<string>(RIGHTS).includes(each)).join(", ");
  const detail = `The token's groups allow nothing else than what they are for: ${groups}. This needs a level.`;
  throw new StrongroomError("forbidden", detail);
}

/** Whether a token has a right. */
export const hasRight = ({ groups }: Groups, right: Right): boolean =>
  groups.includes("admin") || groups.includes(RIGHTS[right]);

/** Whether a level is as high as another, or higher. */
export const isAtLeast = (level: Level, needed: Level): boolean =>
  LEVELS.indexOf(level) >= LEVELS.indexOf(needed);
