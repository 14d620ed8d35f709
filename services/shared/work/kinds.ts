import { Type } from "typebox";

/** The kinds of worker. Each has a login, a key and a pair of queues of its own; `feed` has no key. */
export const KINDS = ["integration", "webhook", "feed", "broker"] as const;
export type Kind = (typeof KINDS)[number];

/** What a credential is sealed for: the kind of the only worker that may open it. */
export const PURPOSES = ["integration", "webhook", "broker"] as const;
export const Purpose = Type.Enum([...PURPOSES]);
export type Purpose = (typeof PURPOSES)[number];
