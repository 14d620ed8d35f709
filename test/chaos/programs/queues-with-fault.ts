import { openQueues as open, type Queues } from "../../../services/shared/queue/open-queues.ts";

export * from "../../../services/shared/queue/open-queues.ts";

/** The steps of the intake between its store and its queues at which it can be made to die: `FAULT`. */
export const INTAKE_STEPS = ["stored", "sent", "result received", "result stored"] as const;
type IntakeStep = (typeof INTAKE_STEPS)[number];

function reached(step: IntakeStep): void {
  if (process.env.FAULT === step) process.kill(process.pid, "SIGKILL");
}

export async function openQueues(...setting: Parameters<typeof open>): Promise<Queues> {
  const queues = await open(...setting);
  const { jobs, results } = queues;
  return {
    ...queues,
    jobs: {
      ...jobs,
      async send(message) {
        reached("stored");
        await jobs.send(message);
        reached("sent");
      },
    },
    results: {
      ...results,
      consume: (options, handler) =>
        results.consume(options, async (delivery) => {
          reached("result received");
          const disposition = await handler(delivery);
          reached("result stored");
          return disposition;
        }),
    },
  };
}
