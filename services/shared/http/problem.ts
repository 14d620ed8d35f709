import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { type Static, Type } from "typebox";
import { ERROR_CODES, type ErrorCode, StrongroomError } from "../errors.ts";
import { VaultError, VaultUnreachableError } from "../vault/client.ts";

/** An error response (RFC 9457, `application/problem+json`). */
export const Problem = Type.Object(
  {
    type: Type.String({ description: "`urn:strongroom:problem:<code>`" }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: "What was wrong with this request, and what to do" }),
    code: Type.Enum(ERROR_CODES, { description: "Stable error code; rely on it rather than on the texts" }),
    retry: Type.Boolean({ description: "Whether the same request may succeed later" }),
    requestId: Type.String({ description: "Identifies the request's log line, which has further details" }),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          {
            pointer: Type.String({ description: "JSON pointer to the invalid part" }),
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

/** Fastify's own errors that are the caller's fault. Any other becomes `internal`. */
const FASTIFY_ERRORS: Record<string, { code: ErrorCode; detail: string }> = {
  FST_ERR_CTP_INVALID_JSON_BODY: { code: "invalid_request", detail: "The body is not valid JSON." },
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: "invalid_request", detail: "The body is empty. Send JSON." },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: "invalid_request",
    detail: "The body's length does not match Content-Length.",
  },
  FST_ERR_BAD_URL: { code: "invalid_request", detail: "The path is not validly percent-encoded." },
  FST_ERR_MAX_PARAM_LENGTH: { code: "invalid_request", detail: "A segment of the path is too long." },
  FST_ERR_CTP_BODY_TOO_LARGE: {
    code: "body_too_large",
    detail: "The body is larger than this server accepts.",
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: "unsupported_media_type",
    detail: "Send the body as application/json.",
  },
};

/** Maps any error to what the caller may see; details of unexpected errors stay in the log. */
export function toProblem(error: unknown, requestId: string): Problem {
  const { validation, validationContext, code } = (error ?? {}) as Partial<FastifyError>;
  if (error instanceof StrongroomError) return problem(error, requestId);
  if (validation) {
    const errors = withoutBranches(validation)
      .slice(0, 10)
      .map((each) => ({
        pointer: `/${validationContext ?? "body"}${each.instancePath}`,
        message: [each.message, detailOf(each)].filter(Boolean).join(": "),
      }));
    const detail = "The request does not match the route's schema. See `errors`.";
    return { ...problem(new StrongroomError("invalid_request", detail), requestId), errors };
  }
  if (error instanceof VaultUnreachableError || (error instanceof VaultError && error.status >= 500)) {
    const detail = "The internal Vault is not responding. Try again in a moment.";
    return problem(new StrongroomError("internal_vault_unavailable", detail), requestId);
  }
  const known = FASTIFY_ERRORS[code ?? ""];
  if (known) return problem(new StrongroomError(known.code, known.detail), requestId);
  const detail = "An unexpected error occurred. The log has the details under this request ID.";
  return problem(new StrongroomError("internal", detail), requestId);
}

/**
 * The errors worth telling: where a value matches none of a schema's alternatives, and an error deeper within it says
 * what is wrong, not that the alternatives differ, nor that it is another alternative's by its tag.
 */
function withoutBranches(validation: Validation): Validation {
  const branched = validation
    .filter(({ keyword }) => BRANCHES.includes(keyword))
    .map((each) => each.instancePath);
  const isTag = ({ keyword, instancePath: path }: Validation[number]) =>
    keyword === "const" && branched.some((each) => path.startsWith(`${each}/`));
  const isBranch = ({ keyword }: Validation[number]) => BRANCHES.includes(keyword);
  const untagged = validation.filter((each) => !isTag(each));
  const told = untagged.every(isBranch) ? validation : untagged;
  const isDeep = (path: string) => told.some((each) => each.instancePath.startsWith(`${path}/`));
  return told.filter(({ instancePath: path }) => !branched.includes(path) || !isDeep(path));
}
const BRANCHES = ["anyOf", "if"];

/** What an error's message leaves out: the member that is too many, or the few values that are allowed. */
function detailOf({ params }: Validation[number]): unknown {
  const { additionalProperty, allowedValues } = params;
  if (!Array.isArray(allowedValues)) return additionalProperty;
  return allowedValues.length <= MOST_VALUES ? allowedValues.join(", ") : undefined;
}
const MOST_VALUES = 12;

type Validation = NonNullable<FastifyError["validation"]>;

function problem(error: StrongroomError, requestId: string): Problem {
  const { code, title, status, retry, errors } = error;
  return {
    type: `urn:strongroom:problem:${code}`,
    title,
    status,
    detail: error.message,
    code,
    retry,
    requestId,
    ...(errors && { errors: errors.slice(0, 10) }),
  };
}

/** Fastify's error handler: answers with a {@link Problem}, and logs server errors with their causes. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const body = toProblem(error, request.id);
  if (body.status >= 500) request.log.error({ requestId: request.id, err: error }, body.title);
  if (body.status === 401) reply.header("WWW-Authenticate", 'Bearer realm="strongroom"');
  if (body.status === 503 && !reply.hasHeader("Retry-After")) reply.header("Retry-After", "1");
  // Serialized here: a route's response schemas cover only its own answers.
  return reply.code(body.status).type(PROBLEM_TYPE).serializer(JSON.stringify).send(body);
}
