import type { FastifyReply } from "fastify";
import type { DirectorySource } from "../../shared/front/published/directory-source.ts";
import type { RevocationSource } from "../../shared/front/published/revocation-source.ts";
import type { Dependencies } from "../dependencies.ts";
import type { Asked, Handler } from "./handler.ts";
import { sendJson } from "./send.ts";
import { answerByVaultOpenly } from "./vault.ts";

/** The Vault version whose API the gateway speaks. */
const VERSION = "1.21.2";

/** The published documents that a gateway needs before it can serve. */
interface Published {
  directory: DirectorySource;
  revocations: RevocationSource;
}

const isReady = ({ directory, revocations }: Published): boolean =>
  directory.current !== undefined && revocations.version !== undefined;

/** `sys/health`: of the organization's Vault to a member, of the gateway to anyone else. */
export const answerHealth =
  (dependencies: Dependencies): Handler =>
  (asked) =>
    isOfAVault(asked)
      ? answerByVaultOpenly(asked)
      : sendHealth(asked.reply, dependencies, new Date(dependencies.now()));

/** `sys/seal-status`: as {@link answerHealth}. */
export const answerSealStatus =
  (dependencies: Dependencies): Handler =>
  (asked) =>
    isOfAVault(asked) ? answerByVaultOpenly(asked) : sendSealStatus(asked.reply, dependencies);

/** An organization's Vault reports its state to verified members only; a machine's token is not verified yet here. */
const isOfAVault = ({ passage }: Asked): boolean => !passage.isOpen && !passage.machine;

/** The gateway's own health: 200 once it has a directory and the revocations, 503 before. */
function sendHealth(reply: FastifyReply, published: Published, now: Date): FastifyReply {
  const { directory, revocations } = published;
  const ready = isReady(published);
  return sendJson(reply, ready ? 200 : 503, {
    initialized: true,
    sealed: !ready,
    standby: false,
    performance_standby: false,
    replication_performance_mode: "disabled",
    replication_dr_mode: "disabled",
    server_time_utc: Math.floor(now.getTime() / 1000),
    version: VERSION,
    enterprise: false,
    cluster_name: "strongroom-gateway",
    // No versions: they count the changes, and this endpoint is public. The metrics have them.
    directory: { loaded: directory.current !== undefined, refused: directory.refusal ?? null },
    revocations: { loaded: revocations.version !== undefined, refused: revocations.refusal ?? null },
  });
}

/** The gateway's own seal status. */
function sendSealStatus(reply: FastifyReply, published: Published): FastifyReply {
  return sendJson(reply, 200, {
    type: "strongroom-gateway",
    initialized: true,
    sealed: !isReady(published),
    t: 0,
    n: 0,
    progress: 0,
    nonce: "",
    version: VERSION,
    build_date: "",
    migration: false,
    recovery_seal: false,
    storage_type: "none",
  });
}

/** `sys/leader`, for clients that query it with the seal status. It never reveals a Vault's address. */
export const answerLeader: Handler = ({ reply }) =>
  sendJson(reply, 200, {
    ha_enabled: false,
    is_self: true,
    leader_address: "",
    leader_cluster_address: "",
  });

/** `sys/init`: every organization in the directory has an initialized Vault. */
export const answerInit: Handler = ({ reply }) => sendJson(reply, 200, { initialized: true });
