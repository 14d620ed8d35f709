/** A quota of an account in a Region, or of one thing in it, and what one organization takes of it. */
interface Quota {
  what: string;
  byDefault: number;
  /** What AWS grants on request without asking back, where that is known. */
  raised?: number;
  each: number;
}

/** AWS's published defaults; `each` counts one storage attempt and one task, as nearly every organization has. */
export const QUOTAS: Quota[] = [
  { what: "IAM roles in an account", byDefault: 1_000, raised: 5_000, each: 2 },
  { what: "instances in a Cloud Map namespace", byDefault: 2_000, each: 1 },
  { what: "DynamoDB tables", byDefault: 2_500, raised: 10_000, each: 1 },
  { what: "SSM standard parameters", byDefault: 10_000, each: 3 },
  { what: "network interfaces", byDefault: 5_000, each: 1 },
  { what: "ECS services in a cluster", byDefault: 5_000, each: 1 },
];

/** Onboarding, a replacement and the platform itself need room: what of a quota organizations may fill. */
const FILL = 0.75;

/** For a number of organizations in one cell: every quota that would not do, tightest first. */
export function exceeded(
  orgs: number,
): { what: string; limit: number; needs: number; isRaisable: boolean }[] {
  return QUOTAS.map(({ what, byDefault, raised, each }) => ({
    what,
    limit: byDefault,
    needs: orgs * each,
    isRaisable: raised !== undefined && orgs * each <= raised * FILL,
  }))
    .filter(({ limit, needs }) => needs > limit * FILL)
    .sort((a, b) => b.needs / b.limit - a.needs / a.limit);
}

/** How many organizations each quota holds, by default and raised. */
export const holds = () =>
  QUOTAS.map(({ what, byDefault, raised, each }) => ({
    what,
    byDefault: Math.floor((byDefault * FILL) / each),
    ...(raised && { raised: Math.floor((raised * FILL) / each) }),
  }));
