import type { RegisterTaskDefinitionCommandInput, Secret, Tag } from "@aws-sdk/client-ecs";
import type { Cell } from "../../../shared/aws/cell.ts";
import { ORG_TAG, orgNames } from "../../../shared/aws/names.ts";
import type { InstanceSpec } from "../../../shared/instance-spec.ts";
import { sha256 } from "../../registry/registry.ts";
import { partition } from "./clients.ts";
import type { OrgRoles } from "./roles.ts";

/** Tags that a task inherits from its definition, from which its status is read. */
export const TASK_TAGS = {
  attempt: "strongroom:attempt",
  restart: "strongroom:restart",
  reload: "strongroom:reload",
  digest: "strongroom:digest",
} as const;

/** A tmpfs that every container has, on Fargate and on EC2: files there reach no disk. */
const FOLDER = "/dev/shm";
const AUDIT_FILE = "audit.log";
const AUDIT_BYTES = 4 * 1024 * 1024;
const CONFIG = "VAULT_CONFIG";
const STOP_TIMEOUT_SECONDS = 60;

/**
 * The two audit logs of a task: its stdout, which goes to the log group, and a size-limited file beside the
 * certificate. They cannot fail together, and the file ends with the task.
 */
export const AUDIT_FILES = ["stdout", `./${AUDIT_FILE}`] as const;

/** Seconds within which a task must end after a request to stop. */
export const STOPPED_WITHIN_SECONDS = STOP_TIMEOUT_SECONDS + 60;

/** The ECS task definition of an instance. It refers to secrets only by their parameters. */
export function taskDefinition(
  cell: Cell,
  roles: OrgRoles,
  spec: InstanceSpec,
): RegisterTaskDefinitionCommandInput {
  const { service, logGroup } = orgNames(spec.org);
  const isFargate = cell.launchType === "FARGATE";
  const publicFiles = spec.files ?? [];
  const files = [
    ...publicFiles.map(({ file }) => file),
    ...spec.secrets.flatMap((secret) => ("file" in secret ? [secret.file] : [])),
  ];
  const definition: RegisterTaskDefinitionCommandInput = {
    family: service,
    executionRoleArn: roles.execution,
    taskRoleArn: roles.task,
    networkMode: "awsvpc",
    requiresCompatibilities: [cell.launchType],
    runtimePlatform: { cpuArchitecture: cell.architecture, operatingSystemFamily: "LINUX" },
    cpu: String(cell.cpu),
    memory: String(cell.memory),
    containerDefinitions: [
      {
        name: "vault",
        image: cell.image,
        essential: true,
        user: "vault",
        workingDirectory: FOLDER,
        readonlyRootFilesystem: true,
        entryPoint: ["/bin/sh", "-c"],
        command: [startScript(files)],
        environment: [
          { name: CONFIG, value: JSON.stringify(inFolder(spec.config)) },
          ...publicFiles.map(({ file, content }) => ({ name: fileVariable(file), value: content })),
          ...Object.entries(spec.environment).map(([name, value]) => ({ name, value })),
        ],
        secrets: spec.secrets.map((secret) => secretOf(cell, secret)),
        linuxParameters: { capabilities: { drop: ["ALL"] } },
        // Fargate allows no ulimit but nofile, and so no mlock (`place` in ecs.ts).
        ulimits: isFargate ? [] : [{ name: "memlock", softLimit: -1, hardLimit: -1 }],
        stopTimeout: STOP_TIMEOUT_SECONDS,
        healthCheck: {
          command: ["CMD-SHELL", HEALTH_CHECK],
          interval: 5,
          timeout: 2,
          retries: 2,
          startPeriod: 30,
        },
        logConfiguration: {
          logDriver: "awslogs",
          options: {
            "awslogs-group": logGroup,
            "awslogs-region": cell.region,
            "awslogs-stream-prefix": "vault",
            // Otherwise an unresponsive log service would block the audit log, and with it every request.
            mode: "non-blocking",
            "max-buffer-size": "16m",
          },
        },
      },
    ],
  };
  return { ...definition, tags: tagsOf(spec, definition) };
}

/** A Vault that answers is healthy, sealed or not: killing a sealed Vault would not help. */
const HEALTH_CHECK =
  "unset VAULT_TOKEN; vault status -tls-skip-verify -address=https://$(hostname -i | cut -d' ' -f1):8200 " +
  ">/dev/null 2>&1; test $? -ne 1";

/**
 * The container's start script. It writes the certificate and the key to the tmpfs, removes them from the
 * environment, and becomes Vault, whose environment then has neither. A loop with an empty environment runs beside
 * it and rotates the audit file.
 */
function startScript(files: string[]): string {
  const variables = files.map(fileVariable);
  const folders = [...new Set(files.map((file) => file.replace(/\/[^/]*$/, "")))];
  return [
    "set -eu",
    "umask 077",
    `mkdir -p ${folders.join(" ")}`,
    ...files.map((file) => `printf '%s\\n' "$${fileVariable(file)}" >${file}`),
    "address=$(hostname -i)",
    `printf '%s' "$${CONFIG}" | sed "s/{address}/\${address%% *}/g" >vault.json`,
    `unset ${[CONFIG, ...variables].join(" ")}`,
    `env -i PATH="$PATH" sh -c '${AUDIT_LOOP}' audit "$$" &`,
    "exec vault server -config=vault.json",
  ].join("\n");
}

const AUDIT_LOOP = [
  "while sleep 5; do",
  `test -f ${AUDIT_FILE} && test "$(wc -c <${AUDIT_FILE})" -gt ${AUDIT_BYTES} || continue;`,
  `mv ${AUDIT_FILE} ${AUDIT_FILE}.1;`,
  'kill -HUP "$1" || exit;',
  "done",
].join(" ");

/** The environment variable that carries a file's content into the container. */
const fileVariable = (file: string) => `FILE_${file.replace(/[^A-Za-z0-9]/g, "_").toUpperCase()}`;

function secretOf(cell: Cell, secret: InstanceSpec["secrets"][number]): Secret {
  return {
    name: "file" in secret ? fileVariable(secret.file) : secret.environment,
    valueFrom: `arn:${partition(cell)}:ssm:${cell.region}:${cell.account}:parameter${secret.parameter}`,
  };
}

/** Replaces the instance's folder by the working directory. */
function inFolder(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value).replaceAll("{dir}/", "./"));
}

function tagsOf(spec: InstanceSpec, definition: RegisterTaskDefinitionCommandInput): Tag[] {
  const { attempt, restart, reload } = spec;
  return Object.entries({
    [ORG_TAG]: spec.org,
    [TASK_TAGS.attempt]: attempt,
    [TASK_TAGS.restart]: restart,
    [TASK_TAGS.reload]: reload,
    [TASK_TAGS.digest]: sha256(JSON.stringify([definition, attempt, restart, reload])),
  }).map(([key, value]) => ({ key, value: String(value) }));
}
