import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { ConfigError } from "../../shared/config.ts";
import { parseOrigin, parsePostgresql } from "../../shared/work/destination.ts";

const Exceptions = Type.Array(
  Type.Object(
    {
      origin: Type.String({ maxLength: 300 }),
      address: Type.String({ maxLength: 45 }),
      /** PEM certificate of the authority that is trusted for this origin, and for no other. */
      ca: Type.Optional(Type.String({ maxLength: 65_536 })),
    },
    { additionalProperties: false },
  ),
  { maxItems: 100 },
);

/** An operator's exception to "public addresses only": an origin, the one address dialled for it, its authority. */
export type PrivateDestination = Static<typeof Exceptions>[number];

/** Exceptions by origin. */
export type PrivateDestinations = ReadonlyMap<string, PrivateDestination>;

/** Reads the operator's exceptions. Throws ConfigError that names what is wrong. */
export function readPrivateDestinations(path: string | undefined): PrivateDestinations {
  if (path === undefined) return new Map();
  const problem = (what: string) => new ConfigError(`STRONGROOM_PRIVATE_DESTINATIONS_FILE: ${path}: ${what}`);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw problem(error instanceof SyntaxError ? "not valid JSON" : "cannot be read");
  }
  if (!Value.Check(Exceptions, value)) throw problem("not a list of { origin, address, ca }");
  for (const { origin, address } of value) {
    if (!parseOrigin(origin) && !parsePostgresql(origin))
      throw problem(`${origin} is not an origin in canonical form`);
    if (isIP(address) === 0) throw problem(`the address of ${origin} is not an IP address`);
  }
  return new Map(value.map((each) => [each.origin, each]));
}
