import {
  DecryptCommand,
  GenerateDataKeyCommand,
  KMSClient,
  type KMSClientConfig,
  KMSServiceException,
} from "@aws-sdk/client-kms";
import { awsError } from "../aws/aws-error.ts";
import { clientSettings } from "../aws/client-settings.ts";
import { contextMembers, type EncryptionContext } from "./context.ts";
import { type KeyProvider, KeyProviderError, type KeyProviderFailure } from "./key-provider.ts";

export interface KmsOptions {
  /** Default: the SDK's. */
  region?: string;
  /** `http(s)://…` instead of AWS's own; default: the SDK's own settings. */
  endpoint?: string;
  /** Default: the SDK's provider chain. */
  credentials?: NonNullable<KMSClientConfig["credentials"]>;
  /** Timeout of one attempt; there are at most three. */
  requestTimeoutMs?: number;
}

const ATTEMPTS = 3;
const DATA_KEY_BYTES = 32;
/** KMS's own limit of a ciphertext. */
const MAX_ENCRYPTED_BYTES = 6_144;

/** KMS's words for an encrypted data key that does not open with this key and context. */
const REFUSED = ["InvalidCiphertextException", "IncorrectKeyException"];
/** KMS's words for a login, a policy or a key state that does not allow the call. */
const FORBIDDEN = [
  "AccessDeniedException",
  "DisabledException",
  "KMSInvalidStateException",
  "NotFoundException",
  "InvalidArnException",
  "InvalidKeyUsageException",
  "InvalidGrantTokenException",
  "UnrecognizedClientException",
  "InvalidClientTokenId",
  "ExpiredTokenException",
  "InvalidSignatureException",
];

/**
 * The key provider `kms:<key arn>`: a symmetric KMS key. The context is KMS's encryption context: additional data of
 * the encrypted data key, and what key policies set conditions on. Every call names the key. An encrypted data key is
 * KMS's own, 184 bytes. Errors hold KMS's code and request id, and nothing of the request.
 */
export function kmsKeyProvider(keyArn: string, options: KmsOptions = {}): KeyProvider {
  const name = `kms:${keyArn}`;
  const client = kmsClient(options);
  const call = kmsCaller(name);
  const request = (context: EncryptionContext) => ({
    KeyId: keyArn,
    EncryptionContext: contextMembers(context),
  });

  return {
    name,
    async makeDataKey(context) {
      const answer = await call("GenerateDataKey", () =>
        client.send(new GenerateDataKeyCommand({ ...request(context), KeySpec: "AES_256" })),
      );
      const encrypted = answer.CiphertextBlob;
      if (answer.KeyId !== keyArn || !encrypted || encrypted.byteLength > MAX_ENCRYPTED_BYTES) {
        throw unusable(name);
      }
      return { plaintext: dataKey(name, answer.Plaintext), encrypted: new Uint8Array(encrypted) };
    },
    async openDataKey(context, encrypted) {
      if (encrypted.byteLength === 0 || encrypted.byteLength > MAX_ENCRYPTED_BYTES) {
        throw new KeyProviderError("refused", `${name}: not a data key`);
      }
      const answer = await call("Decrypt", () =>
        client.send(new DecryptCommand({ ...request(context), CiphertextBlob: encrypted })),
      );
      if (answer.KeyId !== keyArn) throw unusable(name);
      return dataKey(name, answer.Plaintext);
    },
  };
}

export const kmsClient = ({ region, endpoint, credentials, requestTimeoutMs }: KmsOptions): KMSClient =>
  new KMSClient({
    ...(region && { region }),
    ...(endpoint && { endpoint }),
    ...(credentials && { credentials }),
    ...clientSettings(ATTEMPTS, requestTimeoutMs),
  });

/** Returns a function that makes a call, and throws KeyProviderError with KMS's code and request id if it fails. */
export const kmsCaller =
  (name: string) =>
  async <T>(operation: string, send: () => Promise<T>): Promise<T> => {
    try {
      return await send();
    } catch (error) {
      throw new KeyProviderError(reasonOf(error), `${name}: ${operation} failed`, {
        cause: awsError(`KMS ${operation}`, error, { withMessage: false }),
      });
    }
  };

const unusable = (name: string) =>
  new KeyProviderError("unavailable", `${name}: KMS's answer has no usable data key`);

/** Moves a data key into an ArrayBuffer of its own. (The text of KMS's answer cannot be zeroed.) */
function dataKey(name: string, plaintext: Uint8Array | undefined): Uint8Array {
  if (plaintext?.byteLength !== DATA_KEY_BYTES) throw unusable(name);
  const key = new Uint8Array(DATA_KEY_BYTES);
  key.set(plaintext);
  plaintext.fill(0);
  return key;
}

function reasonOf(error: unknown): KeyProviderFailure {
  if (!(error instanceof KMSServiceException)) return "unavailable";
  if (REFUSED.includes(error.name)) return "refused";
  return FORBIDDEN.includes(error.name) ? "forbidden" : "unavailable";
}
