import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import { Value } from "typebox/value";
import { StrongroomError } from "../../shared/errors.ts";
import type { Identity } from "../../shared/front/identity/authenticator.ts";
import { requireLevel } from "../../shared/front/levels.ts";
import { found } from "../../shared/front/passage.ts";
import { LEVELS } from "../../shared/org.ts";
import type { Dependencies } from "../dependencies.ts";
import type { Pipeline } from "../pipeline.ts";
import type { Handler } from "./handler.ts";
import { sendAuth } from "./own-token.ts";

const Login = Type.Object({
  jwt: Type.String({ minLength: 1 }),
  role: Type.Optional(Type.Union([Type.String(), Type.Null()])),
});

/** The JWT in a login's body, and the role it requests. Throws `invalid_request`. */
function readLogin(body: unknown): { jwt: string; role: string | undefined } {
  let login: unknown;
  try {
    login = JSON.parse(Buffer.isBuffer(body) ? body.toString("utf8") : "");
  } catch {
    // refused below
  }
  if (!Value.Check(Login, login)) {
    const detail = "The login has no JWT. Send a JSON object with a member `jwt`.";
    throw new StrongroomError("invalid_request", detail);
  }
  const { jwt, role } = login;
  if (role && !(LEVELS as readonly string[]).includes(role)) {
    throw new StrongroomError("invalid_request", `The role must be one of ${LEVELS.join(", ")}.`);
  }
  return { jwt, role: role || undefined };
}

/** `auth/jwt/login`: authenticates the caller by the JWT in the body, and returns that JWT as the token. */
export const answerLogin =
  ({ now }: Dependencies, pipeline: Pipeline): Handler =>
  async ({ request, reply, passage }) => {
    const { jwt, role } = readLogin(request.body);
    await pipeline.admitLogin(passage, jwt);
    return sendLogin(reply, found("caller", passage.identity), role, new Date(now()));
  };

/**
 * Answers a login with the caller's own JWT, which the gateway takes as a token. A role below the JWT's level gets a
 * warning, since the JWT keeps its level. Throws `forbidden` for a role above it.
 */
function sendLogin(
  reply: FastifyReply,
  identity: Identity,
  role: string | undefined,
  now: Date,
): FastifyReply {
  const level = requireLevel(identity);
  const asked = LEVELS.findIndex((each) => each === (role ?? level));
  const held = LEVELS.indexOf(level);
  if (asked > held) {
    throw new StrongroomError(
      "forbidden",
      `The JWT's groups do not include ${role}, so it cannot log in as ${role}.`,
    );
  }
  const warning = asked < held && `The token keeps its JWT's level, ${level}; it is not limited to ${role}.`;
  return sendAuth(reply, identity, now, warning || undefined);
}
