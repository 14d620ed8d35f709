import { isDeepStrictEqual } from "node:util";
import type { CapacityProviderStrategyItem } from "@aws-sdk/client-ecs";
import type { EcsCluster, Remembered } from "./cluster.ts";

/** Input or output of a call of the ECS API. */
export type Body = Record<string, unknown>;
export interface Answer {
  status: number;
  body: Body;
}

/** An error response with ECS's own code. */
export const fault = (status: number, code: string, message: string): Answer => ({
  status,
  body: { __type: code, message },
});

/** The last part of an ARN, or the name itself. */
export const idOf = (arn: unknown): string => String(arn).split("/").at(-1) ?? "";

/** ECS returns the same service for the same client token, and refuses another one with an active service's name. */
export async function createService(
  cluster: EcsCluster,
  input: Body,
  pass: () => Promise<Answer>,
): Promise<Answer> {
  const name = idOf(input.serviceName);
  const known = cluster.services.get(name);
  if (known?.wish?.desiredCount && cluster.remembered.get(name)?.token !== input.clientToken) {
    return fault(400, "InvalidParameterException", "Creation of service was not idempotent.");
  }
  if (known?.alive.length && !known.wish?.desiredCount) {
    const message = "Unable to Start a service that is still Draining.";
    return fault(400, "InvalidParameterException", message);
  }
  const answered = await pass();
  if (answered.status === 200) {
    cluster.remembered.set(name, { ...ruled(input), forced: 0, token: input.clientToken });
    cluster.wake();
  }
  return answered;
}

/** ECS accepts a strategy other than the service's own only with a forced deployment. */
export async function updateService(
  cluster: EcsCluster,
  input: Body,
  pass: () => Promise<Answer>,
): Promise<Answer> {
  const name = idOf(input.service);
  const known = cluster.remembered.get(name);
  const isForced = input.forceNewDeployment === true;
  const { capacityProviderStrategy: strategy } = input as Partial<Remembered>;
  if (strategy && !isForced && !isSameStrategy(strategy, known?.capacityProviderStrategy)) {
    const message =
      "When switching from launch type to capacity provider strategy on an existing service, or making a " +
      "change to a capacity provider strategy on a service that is already using one, you must force a new " +
      "deployment.";
    return fault(400, "InvalidParameterException", message);
  }
  const answered = await pass();
  if (answered.status === 200) {
    cluster.remembered.set(name, {
      ...known,
      ...ruled(input),
      forced: (known?.forced ?? 0) + Number(isForced),
    });
    cluster.wake();
  }
  return answered;
}

function isSameStrategy(
  one: NonNullable<Remembered["capacityProviderStrategy"]>,
  other: Remembered["capacityProviderStrategy"],
): boolean {
  const named = (items: typeof one) =>
    items.map(({ capacityProvider, weight = 0, base = 0 }) => `${capacityProvider} ${weight} ${base}`).sort();
  return other !== undefined && isDeepStrictEqual(named(one), named(other));
}

const ruled = ({ deploymentConfiguration, capacityProviderStrategy }: Body): Partial<Remembered> => ({
  ...(deploymentConfiguration ? { deploymentConfiguration } : {}),
  ...(capacityProviderStrategy
    ? { capacityProviderStrategy: capacityProviderStrategy as CapacityProviderStrategyItem[] }
    : {}),
});
