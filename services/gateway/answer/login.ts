import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import { Value } from "typebox/value";
import { StrongroomError } from "../../shared/errors.ts";
import type { Identity } from "../../shared/front/identity/authenticator.ts";
import { found } from "../../shared/front/passage.ts";
import { LEVELS } from "../../shared/org.ts";
import type { Dependencies } from "../dependencies.ts";
import type { Pipeline } from "../pipeline.ts";
import { levelOf } from "../upstream/logins.ts";
import type { Handler } from "./handler.ts";
import { sendAuth } from "./own-token.ts";

const Login = Type.Object({
  jwt: Type.String({ minLength: 1 }),
  role: Type.Optional(Type.Union([Type.String(), Type.Null()])),
});

/** The JWT in a login's body, and the role that is asked for. Throws `invalid_request`. */
function readLogin(body: unknown): { jwt: string; role: string | undefined } {
  let login: unknown;
  try {
    login = JSON.parse(Buffer.isBuffer(body) ? body.toString("utf8") : "");
  } catch {
    // told below
  }
  if (!Value.Check(Login, login)) throw new StrongroomError("invalid_request", "A login needs a jwt.");
  const { jwt, role } = login;
  if (role && !(LEVELS as readonly string[]).includes(role)) {
    throw new StrongroomError("invalid_request", `The role must be one of ${LEVELS.join(", ")}.`);
  }
  return { jwt, role: role || undefined };
}

/** `auth/jwt/login`: lets the caller in by the JWT in its body, and gives that JWT back as the token. */
export const answerLogin =
  ({ now }: Dependencies, pipeline: Pipeline): Handler =>
  async ({ request, reply, passage }) => {
    const { jwt, role } = readLogin(request.body);
    await pipeline.admitLogin(passage, jwt);
    return sendLogin(reply, found("caller", passage.identity), role, new Date(now()));
  };

/**
 * Answers a login with the caller's own JWT as its token: it already is one here. A role below the JWT's level
 * is answered with a warning, since the JWT keeps its level. Throws `forbidden` for a role above it.
 */
function sendLogin(
  reply: FastifyReply,
  identity: Identity,
  role: string | undefined,
  now: Date,
): FastifyReply {
  const level = levelOf(identity);
  const asked = LEVELS.findIndex((each) => each === (role ?? level));
  const held = LEVELS.indexOf(level);
  if (asked > held) throw new StrongroomError("forbidden", `The JWT does not show the group ${role}.`);
  const warning = asked < held && `The token acts at the level of its JWT, ${level}, and not as ${role}.`;
  return sendAuth(reply, identity, now, warning || undefined);
}
