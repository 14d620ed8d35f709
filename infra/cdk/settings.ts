import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { Cell } from "../../services/shared/aws/cell.ts";
import { CredentialSettings, credentialProblems } from "./credentials/settings.ts";

const { spot, architecture, cpu, memory, logRetentionDays } = Cell.properties;
const Image = (description: string) =>
  Type.String({ pattern: "^[A-Za-z0-9_.-]{1,128}@sha256:[0-9a-f]{64}$", description });

/** The settings of an installation: the context `strongroom` in cdk.json. None is a secret. */
export const Settings = Type.Object(
  {
    zones: Type.Array(Type.String({ pattern: "^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$" }), {
      minItems: 3,
      maxItems: 3,
      uniqueItems: true,
      description: "Three availability zones of the Region to deploy to",
    }),
    internalDomain: Type.String({
      pattern: "^[a-z0-9-]+(\\.[a-z0-9-]+)+$",
      description: "A domain of yours that is used only inside the VPC, such as strongroom.example.com",
    }),
    certificateArn: Type.String({
      pattern: "^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/.+$",
      description: "ACM certificate of the gateway's public name",
    }),
    operatorAudience: Type.String({ minLength: 1, description: "`aud` of operators' tokens" }),
    parameterPrefix: Type.String({
      pattern: "^(/[A-Za-z0-9_.-]+)+$",
      default: "/strongroom",
      description: "Prefix of all parameter names",
    }),
    retiredParameterKeys: Type.Array(
      Type.String({ pattern: "^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[a-f0-9-]+$" }),
      {
        default: [],
        maxItems: 3,
        description: "ARNs of earlier KMS keys with which some organizations' parameters are still encrypted",
      },
    ),
    vaultImage: Image(
      "Tag and digest of Vault's image in the repository strongroom/vault, such as 2.2.2@sha256:…",
    ),
    servicesImage: Image("Tag and digest of the services' image in the repository strongroom/services"),
    isProtected: Type.Boolean({
      default: true,
      description:
        "Whether AWS refuses to delete stacks, load balancer and lock table. Keep it false until all stacks have " +
        "been created, since a failed creation could otherwise not be rolled back",
    }),
    gateways: Type.Integer({ minimum: 2, maximum: 30, default: 3 }),
    requestsPerAddress: Type.Integer({
      minimum: 100,
      maximum: 1_000_000,
      default: 3_000,
      description: "Maximum number of requests from one address in five minutes",
    }),
    credentials: CredentialSettings,
    orgs: Type.Partial(
      Type.Object({ spot, architecture, cpu, memory, logRetentionDays }, { additionalProperties: false }),
      { default: {}, description: "Task settings of the organizations' Vaults; by default the cell's own" },
    ),
  },
  { additionalProperties: false },
);
export type Settings = Static<typeof Settings>;

/** The digest in an image setting. Exactly that image runs, whatever the tag refers to, which is only for people. */
export const digestOf = (image: string): string => image.slice(image.indexOf("@") + 1);

/** The settings in a context, defaults filled in. Throws with a line for each problem. */
export function readSettings(context: unknown): Settings {
  const given = Value.Default(Settings, structuredClone(context ?? {}));
  const problems = Value.Errors(Settings, given).map(
    ({ instancePath, message, params }) =>
      `cdk.json, context strongroom${instancePath}: ${message} ${JSON.stringify(params)}`,
  );
  if (problems.length === 0) problems.push(...credentialProblems((given as Settings).credentials));
  if (problems.length > 0) throw new Error(problems.join("\n"));
  return given as Settings;
}
