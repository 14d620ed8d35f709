import { Type } from "typebox";

/** A time in the control plane's API. */
export const Time = Type.String({ description: "RFC 3339, UTC" });
