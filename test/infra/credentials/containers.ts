import type { Deployment } from "../deployment.ts";

/** The container of this name. */
export const containerOf = (of: Deployment, name: string) =>
  of
    .resources("AWS::ECS::TaskDefinition")
    .map(({ properties }) => properties.ContainerDefinitions[0])
    .find(({ Name }) => Name === name);

/** Its plain environment. */
export const environmentOf = (of: Deployment, name: string): Record<string, string> =>
  Object.fromEntries(
    containerOf(of, name).Environment.map(({ Name, Value }: { Name: string; Value: string }) => [
      Name,
      Value,
    ]),
  );
