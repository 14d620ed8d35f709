import { createHash, createHmac, pbkdf2, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { Client, escapeIdentifier } from "pg";
import type { Recipe } from "../../shared/broker/recipe.ts";
import { JobFailure } from "../job-failure.ts";
import type { DialPostgresql } from "../outbound/dial-postgresql.ts";
import type { RecipeSteps } from "./recipes.ts";

type Postgresql = Extract<Recipe, { type: "postgresql" }>;

const PASSWORD_BYTES = 32;
const SALT_BYTES = 16;
/** As PostgreSQL itself does. */
const ITERATIONS = 4_096;
const CONNECT_MS = 10_000;
const STATEMENT_MS = 10_000;
const derive = promisify(pbkdf2);

/** The login is refused: another password, or none. */
const INVALID_LOGIN = ["28P01", "28000"];
/** The server starts, stops or has no place for now (57P0x, 53xxx, 08xxx); a lock was not had (55P03, 40xxx). */
const PASSING = /^(57P0[1-4]|57014|53|08|55P03|40)/;

/**
 * A role of PostgreSQL that changes its own password. A role has one password at a time, so there is no grace: from
 * `apply` on the old one logs in nowhere. Connections that are open stay.
 */
export function postgresql(dial: DialPostgresql): RecipeSteps<Postgresql> {
  return {
    async make() {
      const random = randomBytes(PASSWORD_BYTES);
      const value = new Uint8Array(Buffer.from(random.toString("base64url")));
      random.fill(0);
      return { value };
    },

    async apply({ recipe, signal }, current, pending) {
      const isChanged = await loggedIn(dial, recipe, current, signal, async (client) => {
        const verifier = await scramVerifier(pending);
        // A verifier, so that the server's log of statements never has a password.
        await client.query(`ALTER ROLE ${escapeIdentifier(recipe.role)} PASSWORD '${verifier}'`);
      });
      // If the old password is refused, it may be this change that was made before.
      const isNew = await loggedIn(dial, recipe, pending, signal, (client) => client.query("SELECT 1"));
      if (isNew) return;
      throw new JobFailure(
        "provider_refused",
        isChanged
          ? "the server changed the password and refuses the new one"
          : "the server refuses both the current password and the new one",
      );
    },

    async check({ recipe, signal }, value) {
      if (await loggedIn(dial, recipe, value, signal, (client) => client.query("SELECT 1"))) return;
      throw new JobFailure("provider_refused", "the server refuses the password");
    },
  };
}

/** What PostgreSQL keeps of a password of ASCII (RFC 5803). */
async function scramVerifier(password: Uint8Array): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const salted = await derive(password, salt, ITERATIONS, 32, "sha256");
  const keyed = (text: string) => createHmac("sha256", salted).update(text).digest();
  const stored = createHash("sha256").update(keyed("Client Key")).digest("base64");
  const server = keyed("Server Key").toString("base64");
  salted.fill(0);
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString("base64")}$${stored}:${server}`;
}

/** Logs in by SCRAM and does something. False if the server refuses the login. Throws JobFailure. */
async function loggedIn(
  dial: DialPostgresql,
  { host, port, database, role }: Postgresql,
  password: Uint8Array,
  signal: AbortSignal,
  act: (client: Client) => Promise<unknown>,
): Promise<boolean> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS + STATEMENT_MS)]);
  const socket = await dial({ host, port }, within);
  const stream = alreadyOpen(socket);
  const client = new Client({
    ...{ host, port, database, user: role, password: Buffer.from(password).toString("utf8") },
    ...{ stream: () => stream, ssl: false, application_name: "strongroom" },
    ...{ connectionTimeoutMillis: CONNECT_MS, statement_timeout: STATEMENT_MS, query_timeout: STATEMENT_MS },
  });
  let isPasswordAsked = false;
  // Before the client's own listeners: with the connection gone it can send nothing.
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter };
  const refusePassword = () => {
    isPasswordAsked = true;
    socket.destroy();
  };
  connection.on("authenticationCleartextPassword", refusePassword);
  connection.on("authenticationMD5Password", refusePassword);
  client.on("error", () => {});
  const onAbort = () => socket.destroy();
  within.addEventListener("abort", onAbort, { once: true });
  let isIn = false;
  try {
    await client.connect();
    isIn = true;
    await act(client);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (isPasswordAsked) {
      throw new JobFailure(
        "provider_refused",
        "the server asks for the password itself, not for SCRAM-SHA-256",
      );
    }
    if (within.aborted) throw new JobFailure("timeout", "the server did not answer in time");
    const { code = "" } = error as { code?: string };
    if (!isIn && INVALID_LOGIN.includes(code)) return false;
    if (/^[0-9A-Z]{5}$/.test(code) && !PASSING.test(code)) {
      throw new JobFailure("provider_refused", `the server refuses (SQLSTATE ${code})`);
    }
    throw new JobFailure("unreachable", "the connection to the server broke, or it is not ready");
  } finally {
    within.removeEventListener("abort", onAbort);
    socket.destroy();
  }
}

/** A socket that is connected, for a client that connects its socket itself. */
function alreadyOpen(socket: Awaited<ReturnType<DialPostgresql>>) {
  return Object.assign(socket, {
    connect() {
      process.nextTick(() => socket.emit("connect"));
      return socket;
    },
  });
}
