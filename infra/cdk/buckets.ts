import { Duration, RemovalPolicy } from "aws-cdk-lib";
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type BucketProps,
  ObjectOwnership,
} from "aws-cdk-lib/aws-s3";
import type { Construct } from "constructs";
import { acknowledge } from "./acknowledge.ts";

/**
 * A bucket that is private, versioned, reached by TLS 1.2 at least, and never removed with its stack. Nor when
 * the stack's creation fails: its name is AWS's to choose, so it is in nobody's way, and S3 would refuse, since
 * a load balancer leaves a file there at once.
 */
export function privateBucket(scope: Construct, id: string, props: BucketProps): Bucket {
  return new Bucket(scope, id, {
    blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
    objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
    enforceSSL: true,
    minimumTLSVersion: 1.2,
    versioned: true,
    removalPolicy: RemovalPolicy.RETAIN,
    ...props,
  });
}

/** A bucket for access logs of a year; S3's own encryption is the only one that load balancers write to. */
export function accessLogBucket(scope: Construct, id: string): Bucket {
  const bucket = privateBucket(scope, id, {
    encryption: BucketEncryption.S3_MANAGED,
    lifecycleRules: [{ expiration: Duration.days(365), noncurrentVersionExpiration: Duration.days(30) }],
  });
  acknowledge(bucket, { S1: "It holds access logs itself" });
  return bucket;
}
