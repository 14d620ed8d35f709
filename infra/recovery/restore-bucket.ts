import {
  CopyObjectCommand,
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  type S3Client,
} from "@aws-sdk/client-s3";

/** The changes made, or planned: keys restored to an older version, and keys that did not exist at that time. */
export interface Restored {
  putBack: string[];
  removed: string[];
  unchanged: number;
}

/** A version of an object, or a deletion, which has no content. */
interface Version {
  versionId: string;
  isDeletion: boolean;
  isLatest: boolean;
  at: Date;
}

const MAX_PAGES = 10_000;

/**
 * Restores a versioned bucket to its state at a time, by copying old versions over newer ones. No version is lost, so
 * another time can be tried afterwards. Stop all writers before. Without `write` it is a dry run. Errors are the SDK's.
 */
export async function restoreBucket(
  client: S3Client,
  bucket: string,
  at: Date,
  { write }: { write: boolean },
): Promise<Restored> {
  const done: Restored = { putBack: [], removed: [], unchanged: 0 };
  for (const [key, versions] of await allVersions(client, bucket)) {
    const wanted = versions.filter((version) => version.at <= at).sort(newestFirst)[0];
    const latest = versions.find(({ isLatest }) => isLatest);
    if (wanted === latest || (latest?.isDeletion && (!wanted || wanted.isDeletion))) done.unchanged++;
    else if (!wanted || wanted.isDeletion) {
      if (write) await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
      done.removed.push(key);
    } else {
      const source = `${bucket}/${key}`.split("/").map(encodeURIComponent).join("/");
      if (write) {
        await client.send(
          new CopyObjectCommand({
            Bucket: bucket,
            Key: key,
            CopySource: `${source}?versionId=${encodeURIComponent(wanted.versionId)}`,
          }),
        );
      }
      done.putBack.push(key);
    }
  }
  return done;
}

/** S3's times have a resolution of a second; within the same second, S3's own "latest" flag decides. */
const newestFirst = (a: Version, b: Version): number =>
  b.at.getTime() - a.at.getTime() || Number(b.isLatest) - Number(a.isLatest);

async function allVersions(client: S3Client, bucket: string): Promise<Map<string, Version[]>> {
  const byKey = new Map<string, Version[]>();
  let marker: { KeyMarker?: string; VersionIdMarker?: string } = {};
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await client.send(new ListObjectVersionsCommand({ Bucket: bucket, ...marker }));
    const found = [
      ...(answer.Versions ?? []).map((each) => ({ ...each, isDeletion: false })),
      ...(answer.DeleteMarkers ?? []).map((each) => ({ ...each, isDeletion: true })),
    ];
    for (const { Key, VersionId, LastModified, IsLatest, isDeletion } of found) {
      if (Key === undefined || VersionId === undefined || LastModified === undefined) continue;
      const versions = byKey.get(Key) ?? [];
      versions.push({ versionId: VersionId, isDeletion, isLatest: IsLatest === true, at: LastModified });
      byKey.set(Key, versions);
    }
    if (!answer.IsTruncated) return byKey;
    marker = {
      ...(answer.NextKeyMarker && { KeyMarker: answer.NextKeyMarker }),
      ...(answer.NextVersionIdMarker && { VersionIdMarker: answer.NextVersionIdMarker }),
    };
  }
  throw new Error(`${bucket} has more than ${MAX_PAGES} pages of versions`);
}
