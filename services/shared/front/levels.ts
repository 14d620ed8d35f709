import { LEVELS, type Level } from "../org.ts";

/** The highest level among a token's groups. */
export const levelOf = ({ groups }: { groups: readonly string[] }): Level =>
  LEVELS.findLast((level) => groups.includes(level)) ?? "reader";

/** Whether a level is as high as another, or higher. */
export const isAtLeast = (level: Level, needed: Level): boolean =>
  LEVELS.indexOf(level) >= LEVELS.indexOf(needed);
