import type { Dependencies } from "../dependencies.ts";
import type { Pipeline } from "../pipeline.ts";
import type { Answer } from "../route/routes.ts";
import { answerHealth, answerInit, answerLeader, answerSealStatus } from "./gateway-state.ts";
import type { Handler } from "./handler.ts";
import { answerLogin } from "./login.ts";
import { answerMachineToken } from "./machine-token.ts";
import { answerMounts } from "./mounts.ts";
import { answerLookupSelf, answerRenewSelf } from "./own-token.ts";
import { answerRevokeSelf } from "./revoke-self.ts";
import { answerByVault } from "./vault.ts";

/** The handler for each kind of answer. A kind without a handler does not compile. */
export const createAnswers = (dependencies: Dependencies, pipeline: Pipeline): Record<Answer, Handler> => ({
  vault: answerByVault(dependencies),
  health: answerHealth(dependencies),
  "seal-status": answerSealStatus(dependencies),
  login: answerLogin(dependencies, pipeline),
  "lookup-self": answerLookupSelf(dependencies),
  "renew-self": answerRenewSelf(dependencies),
  "revoke-self": answerRevokeSelf(dependencies),
  "machine-token": answerMachineToken(dependencies),
  mounts: answerMounts(dependencies),
  leader: answerLeader,
  init: answerInit,
});
