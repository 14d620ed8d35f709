import { type Static, Type } from "typebox";
import { isAtLeast } from "../front/levels.ts";
import { LEVELS, type Level } from "../org.ts";
import { METHODS, matchesPattern } from "../work/destination.ts";

const closed = { additionalProperties: false };
const Texts = (description: string) =>
  Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { minItems: 1, maxItems: 64, description });
const Clock = Type.String({ pattern: "^([01][0-9]|2[0-3]):[0-5][0-9]$" });

/** Who may do something with a credential: all that is given must hold. */
export const Who = Type.Object(
  {
    level: Type.Enum([...LEVELS], { description: "Callers of this level and above" }),
    groups: Type.Optional(Texts("Callers in one of these groups of their token")),
    subjects: Type.Optional(Texts("These callers, by their token's `sub`")),
  },
  closed,
);
export type Who = Static<typeof Who>;

/** Requests that a credential may be used for. What no rule allows is refused. */
export const Rule = Type.Object(
  {
    id: Type.String({ pattern: "^[a-z0-9][a-z0-9-]{0,31}$", description: "Names the rule in receipts" }),
    methods: Type.Array(Type.Enum([...METHODS]), { minItems: 1, maxItems: METHODS.length }),
    paths: Type.Array(Type.String({ minLength: 1, maxLength: 512, pattern: "^/" }), {
      minItems: 1,
      maxItems: 32,
      description: "Path patterns: `*` is one segment, a last `**` is any number of segments",
    }),
    query: Type.Optional(
      Type.Array(Type.String({ pattern: "^[A-Za-z0-9._~\\[\\]-]{1,64}$" }), {
        maxItems: 64,
        description: "Members that a query may have; none unless given",
      }),
    ),
    contentTypes: Type.Optional(
      Type.Array(Type.String({ pattern: "^[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}$" }), {
        maxItems: 16,
        description: "Media types of a request's body; application/json unless given",
      }),
    ),
    who: Who,
    rate: Type.Optional(
      Type.Object(
        { perMinute: Type.Integer({ minimum: 1, maximum: 60_000, description: "For all callers together" }) },
        closed,
      ),
    ),
    hours: Type.Optional(
      Type.Object(
        {
          days: Type.Optional(
            Type.Array(Type.Enum(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), {
              minItems: 1,
              maxItems: 7,
            }),
          ),
          from: Clock,
          to: Type.String({ ...Clock, description: "Exclusive; before `from`: on the next day" }),
          timeZone: Type.String({ maxLength: 64, description: "IANA name, such as Europe/Berlin" }),
        },
        closed,
      ),
    ),
    inUrl: Type.Optional(
      Type.Boolean({ description: "The credential may stand in the URL, as its policy's `inject` says" }),
    ),
  },
  closed,
);
export type Rule = Static<typeof Rule>;

/** Who asks, as the service itself has verified. */
export interface RuleCaller {
  level: Level;
  groups: readonly string[];
  /** The token's `sub`. */
  subject: string;
}

/** A request as rules see it. */
export interface RuleRequest {
  method: string;
  /** Canonical, without the query. */
  path: string;
  /** The names of the query's members, decoded. */
  query: readonly string[];
  /** The media type of the body in lower case, without parameters; undefined if there is no body. */
  contentType: string | undefined;
}

/** The part of a request that no rule allows: the one at which the rule that allows most of it fails. */
export type DeniedPart = "who" | "path" | "method" | "query" | "content_type" | "hours";
export type Match = { rule: Rule; pattern: string } | { denied: DeniedPart };

/** Whether a caller is one of those. */
export const isWho = (who: Who, { level, groups, subject }: RuleCaller): boolean =>
  isAtLeast(level, who.level) &&
  (who.groups === undefined || who.groups.some((group) => groups.includes(group))) &&
  (who.subjects === undefined || who.subjects.includes(subject));

/**
 * The first rule that allows a request, or the part that none allows. Only rules for this caller are considered, so a
 * refusal tells nothing of those of others. Rates are not checked here. `now` is milliseconds since 1970.
 */
export function matchRule(
  rules: readonly Rule[],
  caller: RuleCaller,
  request: RuleRequest,
  now: number,
): Match {
  const order: DeniedPart[] = ["path", "method", "query", "content_type", "hours"];
  let furthest = -1;
  for (const rule of rules) {
    if (!isWho(rule.who, caller)) continue;
    const pattern = rule.paths.find((each) => matchesPattern(each, request.path));
    const allowed: Record<string, boolean> = {
      path: pattern !== undefined,
      method: rule.methods.some((method) => method === request.method),
      query: request.query.every((name) => rule.query?.includes(name)),
      content_type:
        request.contentType === undefined ||
        (rule.contentTypes ?? [DEFAULT_TYPE]).includes(request.contentType),
      hours: isWithin(rule.hours, now),
    };
    const failed = order.findIndex((part) => !allowed[part]);
    if (failed < 0 && pattern !== undefined) return { rule, pattern };
    furthest = Math.max(furthest, failed);
  }
  return { denied: order[furthest] ?? "who" };
}
const DEFAULT_TYPE = "application/json";

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
const MINUTES_A_DAY = 24 * 60;

function isWithin(hours: Rule["hours"], now: number): boolean {
  if (!hours) return true;
  const { days, from, to, timeZone } = hours;
  const { day, minute } = clockAt(now, timeZone);
  const [start, end] = [minutesOf(from), minutesOf(to)];
  const isOn = (each: number) => days === undefined || days.some((name) => name === DAYS[(each + 7) % 7]);
  if (start < end) return isOn(day) && minute >= start && minute < end;
  // Over midnight: the hours after it belong to the day before.
  return (isOn(day) && minute >= start) || (isOn(day - 1) && minute < end);
}

const minutesOf = (clock: string): number => {
  const [hours = 0, minutes = 0] = clock.split(":").map(Number);
  return (hours * 60 + minutes) % MINUTES_A_DAY;
};

/** Day of the week (0 is Sunday) and minute of the day at a place. Throws RangeError for an unknown time zone. */
function clockAt(now: number, timeZone: string): { day: number; minute: number } {
  const parts = formatOf(timeZone).formatToParts(now);
  const part = (type: string) => parts.find((each) => each.type === type)?.value ?? "";
  const day = DAYS.indexOf(part("weekday").toLowerCase() as (typeof DAYS)[number]);
  return { day, minute: Number(part("hour")) * 60 + Number(part("minute")) };
}

/** Making one takes much longer than using it. */
const formats = new Map<string, Intl.DateTimeFormat>();
const MOST_FORMATS = 1_000;

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known) return known;
  const made = new Intl.DateTimeFormat("en-US", {
    timeZone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  if (formats.size >= MOST_FORMATS) formats.clear();
  formats.set(timeZone, made);
  return made;
}
