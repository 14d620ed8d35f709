import { DescribeServicesCommand, type ECSClient, type Service } from "@aws-sdk/client-ecs";
import { awsError } from "../../../shared/aws/aws-error.ts";

/** Maximum number of services that ECS describes in one call. */
const MOST_TOGETHER = 10;
/** Time, in ms, to gather questions for one call. */
const GATHER_MS = 25;

interface Question {
  service: string;
  resolve(service: Service | undefined): void;
  reject(error: unknown): void;
}

/**
 * Describes services in batches of up to ten per call: AWS limits the rate of calls, and one call per organization
 * would make a reconcile pass over a cell of 750 take longer than its interval.
 */
export class ServiceReader {
  readonly #ecs: ECSClient;
  readonly #cluster: string;
  #waiting: Question[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(ecs: ECSClient, cluster: string) {
    this.#ecs = ecs;
    this.#cluster = cluster;
  }

  /** A service's description; undefined if ECS has no such service, or no longer. */
  read(service: string): Promise<Service | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ service, resolve, reject });
      if (this.#waiting.length >= MOST_TOGETHER) this.#ask();
      else this.#timer ??= setTimeout(() => this.#ask(), GATHER_MS);
    });
  }

  #ask(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const questions = this.#waiting;
    this.#waiting = [];
    void this.#answer(questions);
  }

  async #answer(questions: Question[]): Promise<void> {
    const names = [...new Set(questions.map(({ service }) => service))];
    try {
      const command = new DescribeServicesCommand({ cluster: this.#cluster, services: names });
      const { services = [] } = await this.#ecs.send(command);
      const found = services.filter(({ status }) => status !== "INACTIVE");
      for (const { service, resolve } of questions) {
        resolve(found.find(({ serviceName }) => serviceName === service));
      }
    } catch (error) {
      const refusal = awsError(`ECS DescribeServices ${names.join()}`, error);
      for (const { reject } of questions) reject(refusal);
    }
  }
}
