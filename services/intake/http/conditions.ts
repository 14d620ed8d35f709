import { Type } from "typebox";
import { StrongroomError } from "../../shared/errors.ts";

const ETag = Type.String({ pattern: '^"[0-9]{1,9}"$' });

/** The headers of conditional requests: an entity tag is the resource's version in quotes. */
export const ConditionHeaders = Type.Object({
  "if-match": Type.Optional(Type.String({ ...ETag, description: "Only if it has this version" })),
  "if-none-match": Type.Optional(
    Type.String({ pattern: "^\\*$", description: "`*`: only if there is none yet" }),
  ),
});

/** What a request demands of the resource that it changes. */
export interface Conditions {
  "if-match"?: string;
  "if-none-match"?: string;
}

/** The entity tag of a version. */
export const etag = (version: number): string => `"${version}"`;

/** Throws `precondition_failed` unless the resource, which has this version or does not exist, is as demanded. */
export function checkConditions(headers: Conditions, version: number | undefined): void {
  if (headers["if-none-match"] === "*" && version !== undefined) {
    throw new StrongroomError("precondition_failed", `It exists already, with the version ${version}.`);
  }
  const wanted = headers["if-match"];
  if (wanted === undefined || (version !== undefined && wanted === etag(version))) return;
  const now = version === undefined ? "It does not exist." : `It has the version ${version} now.`;
  throw new StrongroomError("precondition_failed", `${now} Read it again.`);
}

/** The response header of a version, for schemas. */
export const TaggedHeaders = { ETag: Type.String({ description: "The version in quotes" }) };
