import type { FastifyReply } from "fastify";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { StrongroomError } from "../../shared/errors.ts";
import { levelOf } from "../../shared/front/levels.ts";
import { presented } from "../../shared/front/machine-callers.ts";
import { found } from "../../shared/front/passage.ts";
import { MACHINE_ISSUER_ROLE, MACHINE_LEVELS, MACHINE_ROLE } from "../../shared/vault/machine-tokens.ts";
import type { Dependencies } from "../dependencies.ts";
import { exchange } from "../upstream/exchange.ts";
import { logIn } from "../upstream/logins.ts";
import type { Asked, Handler } from "./handler.ts";
import { sendDone, sendJson } from "./send.ts";

const NONE = Type.Union([
  Type.Literal("0s"),
  Type.Literal("0"),
  Type.Literal(""),
  Type.Literal(0),
  Type.Null(),
]);

/** The options that a caller may set, and the no-op values of those that clients send anyway. */
const Wanted = Type.Object(
  {
    policies: Type.Tuple([Type.Enum(MACHINE_LEVELS)]),
    ttl: Type.Optional(
      Type.Union([
        Type.Integer({ minimum: 0, maximum: 86_400 }),
        Type.String({ pattern: "^(?=[0-9])([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s?)?$" }),
      ]),
    ),
    display_name: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9_.-]{0,64}$" })),
    ...Object.fromEntries(
      ["explicit_max_ttl", "period", "num_uses", "entity_alias", "meta"].map((name) => [
        name,
        Type.Optional(NONE),
      ]),
    ),
    renewable: Type.Optional(Type.Literal(true)),
    type: Type.Optional(Type.Enum(["service", "", "default"])),
    no_parent: Type.Optional(Type.Boolean()),
    no_default_policy: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);

const DEFAULT_TTL = "1h";

/**
 * `auth/token/create/machine`: creates a machine token at the organization's Vault, by a login with the admin's own JWT
 * in a role that may do nothing else. Throws `forbidden` if the organization has no machine tokens or the caller is not
 * an admin, `invalid_request`, TooManyRequests, and as {@link exchange} does.
 */
export const answerMachineToken =
  ({ machines }: Dependencies): Handler =>
  async ({ reply, passage, body }) => {
    const {
      org,
      upstream,
      trace: { requestId },
    } = passage;
    const identity = found("caller", passage.identity);
    if (!org.machineTokens) {
      const detail =
        "Machine tokens are not enabled for this organization. Ask a platform operator to enable them.";
      throw new StrongroomError("forbidden", detail);
    }
    if (levelOf(identity) !== "admin")
      throw new StrongroomError("forbidden", "Only an admin can create machine tokens.");
    const { policies, ttl, display_name } = wanted(body);
    const asked = {
      policies: [...policies, MACHINE_ROLE],
      ttl: !ttl || ttl === "0s" ? DEFAULT_TTL : ttl,
      ...(display_name && { display_name }),
      meta: { created_by: identity.subject },
    };
    machines.countMade(org.id);
    const issuer = await logIn(upstream, MACHINE_ISSUER_ROLE, identity, requestId);
    const made = await exchange(
      upstream,
      `/v1/auth/token/create/${MACHINE_ROLE}`,
      JSON.stringify(asked),
      requestId,
      issuer,
    );
    return sendAs(reply, org.id, made);
  };

/** Has the Vault answer a machine's request about its own token: `lookup-self`, `renew-self`, `revoke-self`. */
export async function askAboutMachine({ reply, passage, body }: Asked): Promise<FastifyReply> {
  const { org, upstream, machine, target, trace } = passage;
  const text = body?.toString("utf8") || "{}";
  const { token } = found("machine", machine);
  return sendAs(
    reply,
    org.id,
    await exchange(upstream, `/v1/${target.route.name}`, text, trace.requestId, token),
  );
}

function wanted(body: Buffer | undefined): Static<typeof Wanted> {
  const value = JSON.parse(body?.toString("utf8") || "{}") as unknown;
  if (Value.Check(Wanted, value)) return value;
  const [problem] = Value.Errors(Wanted, value);
  const where = problem?.instancePath.slice(1) || "policies";
  const detail = `A machine token takes only policies (["reader"] or ["writer"]), ttl (at most 24h) and display_name. Check ${where}.`;
  throw new StrongroomError("invalid_request", detail);
}

/** Passes Vault's answer on, with the token in the form that the machine has to present. */
function sendAs(reply: FastifyReply, org: string, answer: { status: number; text: string }): FastifyReply {
  if (answer.status === 204 || answer.text === "") return sendDone(reply);
  const json = JSON.parse(answer.text) as { auth?: { client_token?: string }; data?: { id?: string } };
  if (json.auth?.client_token) json.auth.client_token = presented(org, json.auth.client_token);
  if (json.data?.id) json.data.id = presented(org, json.data.id);
  return sendJson(reply, answer.status, json);
}
