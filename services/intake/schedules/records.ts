import type { Schedule } from "../../shared/api/schedules.ts";
import type { Level } from "../../shared/org.ts";
import type { Key } from "../store/store.ts";

/** A schedule. */
export interface ScheduleRecord extends Omit<Schedule, "nextAt"> {
  /** The level of the member who put it: its jobs may use what that level may. */
  level: Level;
  /** The slots of `everySeconds` are counted from here; seconds since 1970. */
  anchor: number;
  /** The next slot; absent while it is disabled. Seconds since 1970. */
  nextSlot?: number;
}

export const schedulesPartition = (org: string): string => `org/${org}/schedules`;
export const scheduleKey = (org: string, name: string): Key => ({
  partition: schedulesPartition(org),
  sort: name,
});
