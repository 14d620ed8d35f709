import { createHash } from "node:crypto";
import type { Static, TSchema } from "typebox";
import { Value } from "typebox/value";
import { type CasConflictError, type kv2, retryOnConflict, type Versioned } from "../../shared/vault/kv.ts";
import {
  Idempotency,
  JobRecord,
  OrgRecord,
  Publication,
  Reservation,
  RevocationIndex,
  Revocations,
} from "./records.ts";

/** A store of JSON objects by path; every write checks the version that it replaces. */
export type RecordStore = Pick<ReturnType<typeof kv2>, "read" | "write" | "list" | "destroy">;

/** Records of one kind, by key. Reading a record that does not match its schema throws. */
export interface Collection<T> {
  read(key: string): Promise<Versioned<T> | undefined>;
  /** All keys, or those in a subfolder, which must end with a slash. */
  keys(below?: string): Promise<string[]>;
  /** All records by key. */
  all(): Promise<Map<string, T>>;
  /** Creates a record. Throws {@link CasConflictError} if it exists. */
  create(key: string, value: T): Promise<number>;
  /** Replaces the given version. Throws {@link CasConflictError} if the record has another version. */
  replace(key: string, value: T, version: number): Promise<number>;
  /** Changes an existing record; `change` runs again on the new content after a concurrent write. */
  update(key: string, change: (current: T) => T): Promise<T>;
  /** Removes a record with all its versions, so that it can be created again. */
  remove(key: string): Promise<void>;
}

/** All the records of the control plane. */
export interface Registry {
  orgs: Collection<OrgRecord>;
  jobs: Collection<JobRecord>;
  /** By organization name. */
  names: Collection<Reservation>;
  /** By {@link claimKey}. */
  claims: Collection<Reservation>;
  /** By {@link idempotencyKey}. */
  idempotency: Collection<Idempotency>;
  /** By {@link DIRECTORY_KEY}. */
  directory: Collection<Publication>;
  /** By {@link claimKey}: a token does not contain an organization's id. */
  revocations: Collection<Revocations>;
  /** By {@link REVOCATION_INDEX_KEY}. */
  revocationIndex: Collection<RevocationIndex>;
}

/** The one key of {@link Registry.directory}. */
export const DIRECTORY_KEY = "directory";

/** The one key of {@link Registry.revocationIndex}. */
export const REVOCATION_INDEX_KEY = "revocation-index";

/** A claim is unique per issuer; hashed, because an issuer's name contains slashes. */
export const claimKey = (issuer: string, claim: string) => sha256(`${issuer}\n${claim}`);

/** An Idempotency-Key belongs to the operator who sent it. */
export const idempotencyKey = (subject: string, key: string) => sha256(`${subject}\n${key}`);

export const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

const READ_TOGETHER = 16;

/** A registry on a store. */
export function createRegistry(store: RecordStore): Registry {
  return {
    orgs: collection(store, "orgs/", OrgRecord),
    jobs: collection(store, "jobs/", JobRecord),
    names: collection(store, "names/", Reservation),
    claims: collection(store, "claims/", Reservation),
    idempotency: collection(store, "idempotency/", Idempotency),
    directory: collection(store, "", Publication),
    revocations: collection(store, "revocations/", Revocations),
    revocationIndex: collection(store, "", RevocationIndex),
  };
}

function collection<T extends TSchema>(store: RecordStore, folder: string, schema: T): Collection<Static<T>> {
  const read = async (key: string) => {
    const found = await store.read(folder + key);
    if (!found) return undefined;
    if (!Value.Check(schema, found.data)) {
      throw new Error(`${folder}${key}: the record does not match its schema`);
    }
    return { value: found.data, version: found.version } as Versioned<Static<T>>;
  };
  const write = (key: string, value: Static<T>, version: number) =>
    store.write(folder + key, value as Record<string, unknown>, version);
  const keys = (below = "") => store.list(folder + below);
  return {
    read,
    keys,
    async all() {
      const found = new Map<string, Static<T>>();
      const left = (await keys()).values();
      const worker = async () => {
        for (const key of left) {
          const record = await read(key);
          if (record) found.set(key, record.value);
        }
      };
      await Promise.all(Array.from({ length: READ_TOGETHER }, worker));
      return found;
    },
    create: (key, value) => write(key, value, 0),
    replace: write,
    update: (key, change) =>
      retryOnConflict(async () => {
        const found = await read(key);
        if (!found) throw new Error(`${folder}${key}: there is no such record`);
        const value = change(found.value);
        await write(key, value, found.version);
        return value;
      }),
    remove: (key) => store.destroy(folder + key),
  };
}
