import { Type } from "typebox";

/** A time as the control plane's API writes it. */
export const Time = Type.String({ description: "RFC 3339, UTC" });
