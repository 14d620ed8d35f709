import { isRefusedHeader } from "../shared/work/request-headers.ts";
import { JobFailure } from "./job-failure.ts";

const MAX_HEADERS = 64;
const MAX_BYTES = 16_384;
const NAME = /^[A-Za-z][A-Za-z0-9-]{0,63}$/;
const VALUE = /^[\x20-\x7e\t]*$/;

export interface HeaderRules {
  /** The headers that carry the credential, or what was made of it. */
  injected?: readonly string[];
  /** Whether a caller may not set a header, by its name in lower case. */
  isRefused?(name: string): boolean;
  /** Whether a header may come more than once. */
  mayRepeat?(name: string): boolean;
}

/**
 * A caller's headers for a request, checked: none may frame the message, carry a credential or override the injected
 * header. Throws JobFailure `request_not_allowed` that names the header.
 */
export function checkHeaders(
  entries: [name: string, value: string][],
  { injected = [], isRefused = isRefusedHeader, mayRepeat = () => false }: HeaderRules = {},
): [name: string, value: string][] {
  const size = entries.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
  if (entries.length > MAX_HEADERS || size > MAX_BYTES) throw notAllowed("there are too many headers");
  const seen = new Set(injected.map((name) => name.toLowerCase()));
  for (const [name, value] of entries) {
    const lower = name.toLowerCase();
    if (!NAME.test(name) || !VALUE.test(value)) throw notAllowed("a header is malformed");
    if (isRefused(lower)) {
      throw notAllowed(`the header ${lower} may not be set`);
    }
    if (seen.has(lower)) throw notAllowed(`the header ${lower} is set twice`);
    if (!mayRepeat(lower)) seen.add(lower);
  }
  return entries;
}

const notAllowed = (detail: string) => new JobFailure("request_not_allowed", detail);
