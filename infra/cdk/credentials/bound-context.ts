import type { Conditions } from "aws-cdk-lib/aws-iam";
import type { Purpose } from "../../../services/shared/work/kinds.ts";

/** Members of an encryption context that have to be there; `purpose` too, which has to have one value. */
export const REQUIRED_MEMBERS = ["org", "credential", "version", "policy"] as const;
/** The only other members: `job` is in the context of a request on its way to a worker. */
const MEMBERS = [...REQUIRED_MEMBERS, "purpose", "job"];

/**
 * The condition for using a key: an encryption context for this purpose, with all required members and no unknown
 * one. What is sealed under a looser context could be opened for something that nobody has compared.
 */
export const boundContext = (purpose: Purpose): Conditions => ({
  StringEquals: { "kms:EncryptionContext:purpose": purpose },
  "ForAllValues:StringEquals": { "kms:EncryptionContextKeys": MEMBERS },
  Null: Object.fromEntries(REQUIRED_MEMBERS.map((member) => [`kms:EncryptionContext:${member}`, "false"])),
});
