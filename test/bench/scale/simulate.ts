import { GcraQueue, RATES, type Rate, type RateName } from "../../../services/shared/aws/rates.ts";

/** What a process does next: a call, which waits for its rate, or time that passes. */
export type Next = { call: RateName } | { passMs: number };

/** Runs processes side by side on a clock of their own, all from one set of token buckets; ms until each ended. */
export function simulate(
  processes: ((now: () => number) => Generator<Next>)[],
  rates: Record<RateName, Rate> = RATES,
): number[] {
  let time = 0;
  const now = () => time;
  const buckets = new Map(Object.entries(rates).map(([name, rate]) => [name, new GcraQueue(rate, now)]));
  const waiting = processes.map((begin, n) => ({ n, at: 0, steps: begin(now) }));
  const ends: number[] = [];
  while (waiting.length > 0) {
    const next = waiting.reduce((a, b) => (b.at < a.at ? b : a));
    time = next.at;
    const { value, done } = next.steps.next();
    if (done) {
      ends[next.n] = time;
      waiting.splice(waiting.indexOf(next), 1);
    } else if ("call" in value) {
      next.at = time + (buckets.get(value.call)?.take() ?? 0);
    } else {
      next.at = time + value.passMs;
    }
  }
  return ends;
}

/** How long AWS takes, ms, where no rate is what is waited for. */
const TABLE_ACTIVE_MS = 6_000;
const TASK_STARTS_MS = 30_000;
/** Vault's own initialization and configuration, as the platform's bench measures them. */
const VAULT_MS = 3_000;
/** Of an onboarding. */
const STEPS = 9;

function* calls(name: RateName, count: number): Generator<Next> {
  for (let n = 0; n < count; n++) yield { call: name };
}

function* poll(
  now: () => number,
  forMs: number,
  name: RateName,
  callsEach: number,
  pause: { first: number; most: number; growth: number },
): Generator<Next> {
  const end = now() + forMs;
  for (let ms = pause.first; ; ms = Math.min(ms * pause.growth, pause.most)) {
    yield* calls(name, callsEach);
    if (now() >= end) return;
    yield { passMs: ms };
  }
}

/** One organization's onboarding, as the calls that the runtime makes for it, in their order. */
export function* onboarding(now: () => number): Generator<Next> {
  yield* calls("ssm-write", 3);
  yield* calls("ecs-read", 1);
  yield* calls("iam", 6);
  // Making and describing tables is granted by the thousand.
  yield { passMs: TABLE_ACTIVE_MS };
  yield* calls("dynamodb-read-tags", 1);
  yield* calls("logs", 2);
  yield* calls("cloud-map", 1);
  yield* calls("ecs-read", 1);
  yield* calls("ecs-task-definition", 1);
  yield* calls("ecs-service", 1);
  // The service, its running and its stopped tasks, and what they are.
  yield* poll(now, TASK_STARTS_MS, "ecs-read", 4, { first: 500, most: 3_000, growth: 1.3 });
  yield { passMs: VAULT_MS };
  // Before each of its steps: is there storage that was ready?
  yield* calls("ecs-read", STEPS);
  yield* calls("dynamodb-read-tags", STEPS);
  yield* calls("dynamodb-tag", 1);
  yield* calls("dynamodb-read-tags", 1);
}

/** What the control plane looks after side by side, and describes in one call. */
export const TOGETHER = 10;

/** A pass over steady organizations: ten are described in a call. */
export const pass = (orgs: number) =>
  Array.from(
    { length: Math.ceil(orgs / TOGETHER) },
    () =>
      function* (): Generator<Next> {
        yield* calls("ecs-read", 1);
      },
  );

/** The first look after a start, until it is ready: each is described twice, and its definition once. */
export const start = (orgs: number) =>
  workers(orgs, function* (isTenth) {
    yield* calls("ecs-read", isTenth ? 3 : 1);
  });

/** The same with a new image of Vault: each is registered anew and told to end before all were looked at. */
export const newImage = (orgs: number) =>
  workers(orgs, function* (isTenth) {
    yield* calls("ecs-read", isTenth ? 4 : 2);
    yield* calls("iam", 6);
    yield* calls("dynamodb-read-tags", 1);
    yield* calls("ecs-task-definition", 1);
    yield* calls("ecs-service", 1);
  });

/** Organizations by so many workers; `isTenth` of the calls that are made for ten. */
function workers(orgs: number, each: (isTenth: boolean) => Generator<Next>) {
  return Array.from(
    { length: TOGETHER },
    (_, worker) =>
      function* (): Generator<Next> {
        for (let n = worker; n < orgs; n += TOGETHER) yield* each(n % TOGETHER === 0);
      },
  );
}
