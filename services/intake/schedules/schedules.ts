import type { PutSchedule, Schedule } from "../../shared/api/schedules.ts";
import { StrongroomError } from "../../shared/errors.ts";
import type { Level } from "../../shared/org.ts";
import { countWrite } from "../counts.ts";
import { moveDue, type Recurring } from "../due/due-items.ts";
import type { DueHandler } from "../due/loop.ts";
import { type Conditions, checkConditions } from "../http/conditions.ts";
import { slotWorkId } from "../ids.ts";
import { retryConflicts } from "../retry-conflicts.ts";
import type { Item, Write } from "../store/store.ts";
import { destinationRequest } from "../uses/request.ts";
import { submitUse, type UseParts, usableCredential } from "../uses/submit.ts";
import { nextSlot } from "./next-slot.ts";
import { type ScheduleRecord, scheduleKey } from "./records.ts";

/** A schedule's record. Throws `not_found`, also for another organization's. */
export async function readSchedule(
  { intake: { store } }: UseParts,
  org: string,
  name: string,
): Promise<Item<ScheduleRecord>> {
  const found = await store.get<ScheduleRecord>(scheduleKey(org, name));
  if (!found) throw new StrongroomError("not_found", "There is no such schedule.");
  return found;
}

/** Creates or replaces a schedule. Its credential must exist and allow the request, for a caller of this level. */
export async function putSchedule(
  parts: UseParts,
  caller: { org: string; level: Level },
  name: string,
  body: PutSchedule,
  conditions: Conditions,
): Promise<{ schedule: ScheduleRecord; isNew: boolean }> {
  const { store, now } = parts.intake;
  const { org, level } = caller;
  const usable = await usableCredential(parts.intake, org, level, body.credential);
  destinationRequest(body.request, usable.record.destination);
  return retryConflicts(async () => {
    const found = await store.get<ScheduleRecord>(scheduleKey(org, name));
    checkConditions(conditions, found?.body.version);
    const seconds = Math.floor(now() / 1000);
    const at = new Date(now()).toISOString();
    const next = nextSlot(body.when, seconds, seconds);
    const schedule: ScheduleRecord = {
      ...{ name, ...body, disabled: body.disabled ?? false, level, anchor: seconds },
      version: (found?.body.version ?? 0) + 1,
      ...(body.disabled !== true && { nextSlot: next }),
      ...(found?.body.lastJob !== undefined && { lastJob: found.body.lastJob }),
      ...(found?.body.lastAt !== undefined && { lastAt: found.body.lastAt }),
      createdAt: found?.body.createdAt ?? at,
      updatedAt: at,
    };
    const isWritten = await store.write([
      { ...scheduleKey(org, name), body: schedule, expect: found?.revision ?? 0 },
      ...moveDue(dueOf(org, name), found?.body.nextSlot, schedule.nextSlot),
      ...(found ? [] : [await countWrite(store, org, "schedules", 1)]),
    ]);
    return isWritten ? { schedule, isNew: !found } : undefined;
  });
}

export async function deleteSchedule(
  parts: UseParts,
  org: string,
  name: string,
  conditions: Conditions,
): Promise<void> {
  const { store } = parts.intake;
  await retryConflicts(async () => {
    const found = await readSchedule(parts, org, name);
    checkConditions(conditions, found.body.version);
    const isWritten = await store.write([
      { ...scheduleKey(org, name), remove: true, expect: found.revision },
      ...moveDue(dueOf(org, name), found.body.nextSlot, undefined),
      await countWrite(store, org, "schedules", -1),
    ]);
    return isWritten || undefined;
  });
}

/** A record as the API shows it. */
export function asSchedule({ level: _, anchor: __, nextSlot, ...rest }: ScheduleRecord): Schedule {
  return { ...rest, ...(nextSlot !== undefined && { nextAt: new Date(nextSlot * 1000).toISOString() }) };
}

/**
 * Makes the job of a schedule's slot. The job, the schedule's next slot and the end of this one are one conditional
 * write, so that one of several intakes does it, once. Slots that were missed while no intake ran are one.
 */
export function scheduleDueHandler(parts: UseParts): DueHandler {
  const { store, now, log } = parts.intake;
  return async (item) => {
    if (item.body.type !== "schedule") return;
    const { org, name } = item.body;
    const found = await store.get<ScheduleRecord>(scheduleKey(org, name));
    const slot = found?.body.nextSlot;
    const isCurrent = slot === item.body.slot;
    if (!found || slot === undefined || !isCurrent) {
      await store.write([{ partition: item.partition, sort: item.sort, remove: true }]);
      return;
    }
    const schedule = found.body;
    const seconds = Math.floor(now() / 1000);
    const next = nextSlot(schedule.when, schedule.anchor, Math.max(seconds, slot));
    const id = slotWorkId(slot * 1000, org, name, String(schedule.version));
    const { lastError: _, ...kept } = schedule;
    const writes = (changes: Partial<ScheduleRecord>): Write[] => [
      { ...scheduleKey(org, name), body: { ...kept, nextSlot: next, ...changes }, expect: found.revision },
      ...moveDue(dueOf(org, name), slot, next),
    ];
    const lastAt = new Date(slot * 1000).toISOString();
    try {
      await submitUse(parts, {
        ...{
          org,
          level: schedule.level,
          use: { credential: schedule.credential, request: schedule.request },
        },
        slot: { schedule: name, id, writes: writes({ lastJob: id, lastAt }) },
      });
    } catch (error) {
      // What will not go away by trying again: the slot is given up, and the schedule says why.
      if (!(error instanceof StrongroomError) || error.status >= 500) throw error;
      log.warn({ org, schedule: name, code: error.code }, "a schedule's slot made no job");
      await store.write(writes({ lastError: error.message, lastAt }));
    }
  };
}

const dueOf = (org: string, name: string): Recurring => ({ type: "schedule", org, name });
