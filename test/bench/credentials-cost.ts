import { KINDS } from "../../services/shared/work/kinds.ts";

/**
 * List prices in US dollars of us-east-1, without free tiers and discounts, in the state that DynamoDB's on-demand
 * prices have had since November 2024. Written down from memory on 2026-12-01 and not looked up again: check them against
 * AWS's price list before you rely on a sum. Frankfurt costs 10 to 25 percent more for most of them.
 */
export const PRICES = {
  region: "us-east-1",
  writtenDown: "2026-12-01",
  /** For each symmetric request. */
  kmsRequest: 0.03 / 10_000,
  kmsKeyMonth: 1,
  /** For each request of a standard queue, of up to 64 KiB. */
  sqsRequest: 0.4 / 1e6,
  /** On demand: up to 1 KB written, and up to 4 KB read consistently. A transaction costs twice as many. */
  dynamoDbWrite: 0.625 / 1e6,
  dynamoDbRead: 0.125 / 1e6,
  /** Fargate on ARM. */
  vcpuHour: 0.03238,
  gibHour: 0.00356,
  natHour: 0.045,
  natByte: 0.045 / 1e9,
  outByte: 0.09 / 1e9,
  endpointHour: 0.01,
  endpointByte: 0.01 / 1e9,
  loadBalancerHour: 0.0225,
};

/** What one use of a credential takes: a job of `POST /v1/jobs` with an Idempotency-Key, whose answer is read once. */
export interface Use {
  /** The request's data key is made, then it and the credential's data key are opened. */
  kmsRequests: number;
  /** A job and its result are sent, received and deleted; messages of up to 64 KiB, each received alone. */
  sqsRequests: number;
  /** Units: 13 items in transactions, of which the request is 2 KB, the result 4 KB, all others 1 KB. */
  dynamoDbWrites: number;
  /** Units: key, credential, its material, the job twice, its result, and one look while it waits. */
  dynamoDbReads: number;
  /** Through NAT: TLS handshake, request and answer, in both directions. */
  natBytes: number;
  /** Of them, to the internet. */
  outBytes: number;
  /** Through private endpoints: two messages twice, and three calls of KMS. */
  endpointBytes: number;
  /** Of one worker of 1 vCPU and 2 GiB, and of one such intake. */
  jobsPerSecond: number;
}

/** Counted in the code of intake and worker on 2026-12-01; a bench may replace any of them with what it measures. */
export const ASSUMED_USE: Use = {
  kmsRequests: 3,
  sqsRequests: 6,
  dynamoDbWrites: 36,
  dynamoDbReads: 7,
  natBytes: 14 * 1024,
  outBytes: 6 * 1024,
  endpointBytes: 24 * 1024,
  jobsPerSecond: 200,
};

export interface Cost {
  kms: number;
  sqs: number;
  dynamoDb: number;
  fargate: number;
  network: number;
  /** All of the above. */
  total: number;
}

const VCPU = 1;
const GIB = 2;
const HOURS_A_MONTH = 730;
const taskHour = VCPU * PRICES.vcpuHour + GIB * PRICES.gibHour;

/** US dollars for 1,000 uses, without what runs anyway ({@link costPerMonthIdle}). `measured` replaces assumptions. */
export function costPer1000Uses(measured: Partial<Use> = {}): Cost {
  const use = { ...ASSUMED_USE, ...measured };
  const each = {
    kms: use.kmsRequests * PRICES.kmsRequest,
    sqs: use.sqsRequests * PRICES.sqsRequest,
    dynamoDb: use.dynamoDbWrites * PRICES.dynamoDbWrite + use.dynamoDbReads * PRICES.dynamoDbRead,
    // The share of a worker and of an intake that are busy all the time.
    fargate: (2 * taskHour) / 3600 / use.jobsPerSecond,
    network:
      use.natBytes * PRICES.natByte + use.outBytes * PRICES.outByte + use.endpointBytes * PRICES.endpointByte,
  };
  return summed({
    kms: 1000 * each.kms,
    sqs: 1000 * each.sqs,
    dynamoDb: 1000 * each.dynamoDb,
    fargate: 1000 * each.fargate,
    network: 1000 * each.network,
  });
}

export interface Installed {
  /** Of each kind. */
  workers: number;
  intakes: number;
  /** Of each kind. */
  natGateways: number;
  zones: number;
}

/** US dollars a month for an installation that nobody uses, by default that of cdk.json. */
export function costPerMonthIdle(installed: Partial<Installed> = {}): Cost {
  const { workers, intakes, natGateways, zones } = {
    workers: 2,
    intakes: 2,
    natGateways: 3,
    zones: 3,
    ...installed,
  };
  const kinds = KINDS.length;
  // ECR (two), logs, SQS; KMS for three kinds; of the broker SSM and the directory, and one to it. The platform's own
  // network has one more, for SQS.
  const endpoints = (kinds * 4 + 3 + 3 + 1) * zones;
  return summed({
    // Three keys of workers, one of the table, one of receipts.
    kms: 5 * PRICES.kmsKeyMonth,
    // Each worker and each of an intake's four consumptions waits 20 seconds for a message.
    sqs: (kinds * workers + kinds * intakes) * (3600 / 20) * HOURS_A_MONTH * PRICES.sqsRequest,
    dynamoDb: 0,
    fargate: (kinds * workers + intakes) * taskHour * HOURS_A_MONTH,
    network:
      // The intake's load balancer, the broker's and the one to the directory.
      (kinds * natGateways * PRICES.natHour + endpoints * PRICES.endpointHour + 3 * PRICES.loadBalancerHour) *
      HOURS_A_MONTH,
  });
}

function summed(each: Omit<Cost, "total">): Cost {
  const total = Object.values(each).reduce((sum, part) => sum + part, 0);
  return { ...each, total };
}
