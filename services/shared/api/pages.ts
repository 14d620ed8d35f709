import { Type } from "typebox";

/** The query of a list: a page of 1 to 100, and the cursor that the previous page returned as `next`. */
export const PageQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.String({ pattern: "^([1-9][0-9]?|100)$", description: "1 to 100; 50 by default" }),
    ),
    cursor: Type.Optional(
      Type.String({ pattern: "^[A-Za-z0-9_-]{1,400}$", description: "`next` of the previous page" }),
    ),
  },
  { additionalProperties: false },
);

/** The cursor of the next page; a last page has none. */
export const Next = Type.Optional(Type.String({ description: "Cursor of the next page" }));
