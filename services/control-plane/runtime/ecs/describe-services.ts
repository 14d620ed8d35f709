import { DescribeServicesCommand, type ECSClient, type Service } from "@aws-sdk/client-ecs";
import { awsError } from "../../../shared/aws/aws-error.ts";

/** Services that ECS describes in one call. */
const MOST_TOGETHER = 10;
/** How long, ms, a question waits for others to go with it. */
const GATHER_MS = 25;

interface Question {
  service: string;
  resolve(service: Service | undefined): void;
  reject(error: unknown): void;
}

/**
 * Asks ECS for services, up to ten in a call: reads are granted by the call, and looking at every organization
 * by itself would take a cell of 750 longer than the time between two looks.
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

  /** A service as ECS has it; undefined where it has none of that name, or none any more. */
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
