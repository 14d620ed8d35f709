import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMessage, decrypt, encrypt, readKey, readMessage, readPrivateKey } from "openpgp";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensureRecoveryKey } from "../../../services/cli/platform/recovery-key.ts";
import { StateFolder } from "../../../services/cli/platform/state-folder.ts";

let state: StateFolder;
beforeEach(async () => {
  state = new StateFolder(await mkdtemp(join(tmpdir(), "strongroom-recovery-")));
});
afterEach(() => rm(state.path, { recursive: true }));

const privateKey = async () => readPrivateKey({ armoredKey: await readFile(state.recoveryKey, "utf8") });
const publicKey = async () => readKey({ armoredKey: await readFile(state.recoveryPublicKey, "utf8") });

test("the private half opens what the public half closes, and only its owner can read it", async () => {
  await ensureRecoveryKey(state);
  const message = await createMessage({ text: "a recovery key" });
  const armored = await encrypt({ message, encryptionKeys: await publicKey() });
  const opened = await decrypt({
    message: await readMessage({ armoredMessage: String(armored) }),
    decryptionKeys: await privateKey(),
  });
  expect(opened.data).toBe("a recovery key");
  expect((await stat(state.recoveryKey)).mode & 0o777).toBe(0o600);
});

test("it stays the same, and a lost public half is made from the private one", async () => {
  await ensureRecoveryKey(state);
  const before = (await publicKey()).getFingerprint();
  await ensureRecoveryKey(state);
  await rm(state.recoveryPublicKey);
  await ensureRecoveryKey(state);
  expect((await publicKey()).getFingerprint()).toBe(before);
  expect((await privateKey()).getFingerprint()).toBe(before);
});
