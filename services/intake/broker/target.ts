import { StrongroomError } from "../../shared/errors.ts";
import { targetProblem } from "../../shared/work/destination.ts";

/** What a URL of `/v1/use/…` names: read from the URL as it came, since a decoded one may have another meaning. */
export interface UseTarget {
  credential: string;
  /** Path and query at the destination, in canonical form. */
  target: string;
}

const USE_URL = /^\/v1\/use\/([a-z0-9][a-z0-9-]{0,62})(\/.*)$/;
const MOST_CHARACTERS = 4_096;

/** Throws `invalid_path` for a URL that another parser could read in another way. */
export function useTarget(url: string): UseTarget {
  const [, credential = "", target = ""] = USE_URL.exec(url) ?? [];
  if (credential === "") throw invalid("The URL is not /v1/use/CREDENTIAL/PATH, literally.");
  if (target.length > MOST_CHARACTERS) throw invalid("The destination's path and query are too long.");
  const problem = targetProblem(target);
  if (problem) throw invalid(`For the destination, ${problem}.`);
  return { credential, target };
}

const invalid = (detail: string) => new StrongroomError("invalid_path", detail);
