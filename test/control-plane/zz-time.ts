import { Stage } from "./stage.ts";
const stage = await Stage.open({ vaultBinary: "/tmp/vault-build/vault", settings: { STRONGROOM_UPKEEP_SECONDS: "15" } });
try {
  await stage.startControlPlane(); stage.startAgent();
  for (let i = 0; i < 4; i++) {
    const org = await stage.onboard(`org-${i}`);
    const job = await stage.job(org.job);
    const ms = (a?: string, b?: string) => Date.parse(b ?? "") - Date.parse(a ?? "");
    console.log(ms(job.createdAt, job.endedAt), job.steps.map((s) => `${s.name}:${ms(s.startedAt, s.endedAt)}`).join(" "));
  }
  const t = Date.now();
  const jobs = await Promise.all(Array.from({ length: 10 }, (_, i) => stage.create(`ten-${i}`)));
  const ended = await Promise.all(jobs.map(({ id }) => stage.ended(id)));
  console.log("ten", Date.now() - t);
  for (const job of ended) { const ms = (a?: string, b?: string) => Date.parse(b ?? "") - Date.parse(a ?? "");
    console.log(ms(job.createdAt, job.endedAt), job.steps.map((s) => `${s.name}:${ms(s.startedAt, s.endedAt)}`).join(" ")); }
} finally { await stage.close(); }
