import type { Injection } from "../../../shared/broker/inject.ts";
import type { BrokerPolicy } from "../../../shared/broker/policy.ts";
import { inject } from "../../inject.ts";
import { UseFailure } from "../use-failure.ts";

export interface Prepared {
  path: string;
  headers: [string, string][];
  /** All that an answer must not contain. */
  secrets: Uint8Array[];
  inUrl?: true;
}

export const needsBody = (_inject: Injection): boolean => false;

export async function prepareRequest(
  policy: BrokerPolicy,
  value: Uint8Array,
  request: { method: string; path: string; headers: [string, string][]; body?: Uint8Array },
  _now: number,
  _accessToken?: string,
): Promise<Prepared> {
  if (!("header" in policy.inject)) throw new UseFailure("unusable_value", "not supported");
  const { header, secrets } = inject(policy.inject, value);
  return { path: request.path, headers: [...request.headers, header], secrets };
}
