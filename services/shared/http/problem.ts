import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { type Static, Type } from "typebox";
import { ERROR_CODES, type ErrorCode, StrongroomError } from "../errors.ts";
import { VaultError, VaultUnreachableError } from "../vault/client.ts";

/** An error as the control plane answers it (RFC 9457, `application/problem+json`). */
export const Problem = Type.Object(
  {
    type: Type.String({ description: "`urn:strongroom:problem:<code>`" }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: "What was wrong with this request, and what to do" }),
    code: Type.Enum(ERROR_CODES, { description: "Stable; decide by it, not by the texts" }),
    retry: Type.Boolean({ description: "Whether the same request may succeed later" }),
    requestId: Type.String({ description: "Also in the log, with what was left out here" }),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          {
            pointer: Type.String({ description: "JSON pointer to the part that was wrong" }),
            message: Type.String(),
          },
          { additionalProperties: false },
        ),
      ),
    ),
  },
  { additionalProperties: false },
);
export type Problem = Static<typeof Problem>;

/** The content type of a {@link Problem}. */
export const PROBLEM_TYPE = "application/problem+json";

/** Fastify's own errors that are the caller's doing. What is not listed becomes `internal`. */
const FASTIFY_ERRORS: Record<string, { code: ErrorCode; detail: string }> = {
  FST_ERR_CTP_INVALID_JSON_BODY: { code: "invalid_request", detail: "The body is not valid JSON." },
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: "invalid_request", detail: "The body is empty; it must be JSON." },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: "invalid_request",
    detail: "The body's length is not the one announced.",
  },
  FST_ERR_BAD_URL: { code: "invalid_request", detail: "The path is not validly percent-encoded." },
  FST_ERR_MAX_PARAM_LENGTH: { code: "invalid_request", detail: "A part of the path is too long." },
  FST_ERR_CTP_BODY_TOO_LARGE: {
    code: "body_too_large",
    detail: "The body is larger than this server takes.",
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: "unsupported_media_type",
    detail: "Send the body as application/json.",
  },
};

/** Maps any error to what its caller may see of it; details of unexpected ones stay here. */
export function toProblem(error: unknown, requestId: string): Problem {
  const { validation, validationContext, code } = (error ?? {}) as Partial<FastifyError>;
  if (error instanceof StrongroomError) return problem(error, requestId);
  if (validation) {
    const errors = validation.slice(0, 10).map((each) => ({
      pointer: `/${validationContext ?? "body"}${each.instancePath}`,
      message: [each.message, each.params.additionalProperty].filter(Boolean).join(": "),
    }));
    const detail = "The request does not have the form this route takes; see errors.";
    return { ...problem(new StrongroomError("invalid_request", detail), requestId), errors };
  }
  if (error instanceof VaultUnreachableError || (error instanceof VaultError && error.status >= 500)) {
    const detail = "The internal Vault does not answer now. Try again in a moment.";
    return problem(new StrongroomError("internal_vault_unavailable", detail), requestId);
  }
  const known = FASTIFY_ERRORS[code ?? ""];
  if (known) return problem(new StrongroomError(known.code, known.detail), requestId);
  return problem(new StrongroomError("internal", "An unexpected error; the log has it."), requestId);
}

function problem(error: StrongroomError, requestId: string): Problem {
  const { code, title, status, retry } = error;
  return {
    type: `urn:strongroom:problem:${code}`,
    title,
    status,
    detail: error.message,
    code,
    retry,
    requestId,
  };
}

/** Fastify's error handler: answers a {@link Problem} and logs what went wrong on our side with its causes. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const body = toProblem(error, request.id);
  if (body.status >= 500) request.log.error({ requestId: request.id, err: error }, body.title);
  if (body.status === 401) reply.header("WWW-Authenticate", 'Bearer realm="strongroom"');
  if (body.status === 503) reply.header("Retry-After", "1");
  // Serialized here: a route's response schemas are for what it answers itself.
  return reply.code(body.status).type(PROBLEM_TYPE).serializer(JSON.stringify).send(body);
}
