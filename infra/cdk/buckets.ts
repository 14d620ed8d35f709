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
 * A private, versioned bucket that requires TLS 1.2 or later and is never removed with its stack, not even if the
 * stack's creation fails: its generated name blocks nothing, and S3 would refuse to delete it, since a load balancer
 * writes a file there at once.
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

/** A bucket for a year of access logs. It has S3-managed encryption, the only kind that load balancers support. */
export function accessLogBucket(scope: Construct, id: string): Bucket {
  const bucket = privateBucket(scope, id, {
    encryption: BucketEncryption.S3_MANAGED,
    lifecycleRules: [{ expiration: Duration.days(365), noncurrentVersionExpiration: Duration.days(30) }],
  });
  acknowledge(bucket, { S1: "It stores access logs itself" });
  return bucket;
}
