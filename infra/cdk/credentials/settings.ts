import { type Static, Type } from "typebox";
import type { Kind } from "../../../services/shared/work/kinds.ts";

const closed = { additionalProperties: false };
const WORKER = {
  account: Type.Optional(
    Type.String({
      pattern: "^[0-9]{12}$",
      description: "The account of this kind's worker, if it is not the platform's",
    }),
  ),
  tasks: Type.Integer({ minimum: 1, maximum: 100, default: 2, description: "Number of workers" }),
  natGateways: Type.Integer({
    minimum: 1,
    maximum: 3,
    default: 3,
    description:
      "NAT gateways of the workers' network; with fewer than three, the loss of a zone stops more zones",
  }),
};
const KeyArn = (description: string) =>
  Type.Optional(
    Type.String({ pattern: "^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[a-f0-9-]+$", description }),
  );
const KEY = {
  keyArn: KeyArn("The ARN of the key of a worker in an account of its own: the output KeyArn of its stack"),
};
const ServiceName = (description: string) =>
  Type.Optional(
    Type.String({ pattern: "^com\\.amazonaws\\.vpce\\.[a-z0-9-]+\\.vpce-svc-[a-f0-9]+$", description }),
  );
const LINKS = {
  platformKeyArn: KeyArn(
    "The key with which the parameters of a broker in an account of its own are encrypted",
  ),
  serviceName: ServiceName(
    "The endpoint service of a broker in an account of its own: the output ServiceName of its stack",
  ),
  directoryServiceName: ServiceName(
    "The endpoint service by which such a broker reaches what the control plane publishes: the output DirectoryServiceName of StrongroomServices",
  ),
};
const worker = { default: {}, ...closed };

/** The settings of the intake and its workers: the member `credentials` of the context `strongroom`. */
export const CredentialSettings = Type.Object(
  {
    certificateArn: Type.Optional(
      Type.String({
        pattern: "^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/.+$",
        description:
          "ACM certificate of the intake's public name; by default the gateway's, which must contain it",
      }),
    ),
    intakes: Type.Integer({ minimum: 2, maximum: 30, default: 2, description: "Number of intakes" }),
    intakeRoleArn: Type.Optional(
      Type.String({
        pattern: "^arn:aws[a-z-]*:iam::[0-9]{12}:role/strongroom/platform/strongroom-intake$",
        description: "The ARN of the intake's role, needed if a worker has an account of its own",
      }),
    ),
    integration: Type.Object({ ...WORKER, ...KEY }, worker),
    webhook: Type.Object({ ...WORKER, ...KEY }, worker),
    feed: Type.Object(WORKER, worker),
    broker: Type.Object({ ...WORKER, ...KEY, ...LINKS }, worker),
  },
  { default: {}, ...closed },
);
export type CredentialSettings = Static<typeof CredentialSettings>;

/** What is wrong with the settings beyond their schema, one line each. */
export function credentialProblems(settings: CredentialSettings): string[] {
  const { intakeRoleArn, ...others } = settings;
  const platform = intakeRoleArn?.split(":")[4];
  return (["integration", "webhook", "feed", "broker"] as const satisfies Kind[]).flatMap((kind) => {
    const given: Partial<CredentialSettings["broker"]> = others[kind];
    const { account, keyArn, serviceName, directoryServiceName, platformKeyArn } = given;
    const at = `cdk.json, context strongroom/credentials/${kind}`;
    if (account === undefined) {
      return Object.entries({ keyArn, serviceName, directoryServiceName, platformKeyArn })
        .filter(([, value]) => value !== undefined)
        .map(([name]) => `${at}/${name}: set it only together with account`);
    }
    const problems: string[] = [];
    if (platform === undefined) problems.push(`${at}/account: set credentials/intakeRoleArn too`);
    if (platform === account) {
      problems.push(`${at}/account: ${account} is the intake's own account. Leave it out for that one`);
    }
    if (keyArn !== undefined && keyArn.split(":")[4] !== account) {
      problems.push(`${at}/keyArn: its account is not ${account}`);
    }
    if (kind === "broker" && (directoryServiceName === undefined || platformKeyArn === undefined)) {
      problems.push(`${at}/account: set directoryServiceName and platformKeyArn too`);
    }
    if (kind === "broker" && (keyArn === undefined) !== (serviceName === undefined)) {
      problems.push(`${at}: set keyArn and serviceName together`);
    }
    return problems;
  });
}
