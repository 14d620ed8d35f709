import { PURPOSES } from "../../services/shared/work/kinds.ts";

/** A Vault policy that somebody has loosened in one place. */
export interface PolicyMutant {
  what: string;
  policy: string;
}

const MORE = ["read", "update", "list", "delete", "patch"];

const capabilityOf = (rule: string) => /\["(\w+)"\]/.exec(rule)?.[1];

/** Each rule for a key loosened: another path, more capabilities, no limit on parameters; and a rule more. */
export function mutantsOf(policy: string): PolicyMutant[] {
  const rules = [...policy.matchAll(/^path "((?:credential-keys|transit)\/[^"]+)" \{\n(?: .*\n)*\}\n/gm)];
  const loosened = rules.flatMap(([rule, path = ""]): PolicyMutant[] => {
    const segments = path.split("/");
    const change = (what: string, changed: string) => ({
      what: `${path}: ${what}`,
      policy: policy.replace(rule, changed),
    });
    const at = (to: string) => change(`at ${to}`, rule.replace(`"${path}"`, `"${to}"`));
    return [
      ...segments.slice(1).map((_, n) => at(segments.with(n + 1, "+").join("/"))),
      ...segments.slice(1).map((_, n) => at(`${segments.slice(0, n + 1).join("/")}/*`)),
      at(`${path}*`),
      ...MORE.map((more) => change(`may ${more}`, rule.replace(/\["(update|read)"\]/, `["$1", "${more}"]`))),
      change("any parameter", rule.replace(/^ *allowed_parameters.*\n/m, "")),
    ].filter(
      ({ what, policy: changed }) => changed !== policy && !what.endsWith(`may ${capabilityOf(rule)}`),
    );
  });
  const more = [
    "decrypt",
    "encrypt",
    "rewrap",
    "datakey/plaintext",
    "keys",
    "export/encryption-key",
    "backup",
  ];
  const added = more
    .flatMap((way) => PURPOSES.map((key) => `credential-keys/${way}/${key}`))
    .concat(["sign", "keys", "verify", "hmac"].map((way) => `transit/${way}/receipts`))
    .filter((path) => !policy.includes(`"${path}"`))
    .map((path) => ({
      what: `and ${path}`,
      policy: `${policy}\npath "${path}" {\n  capabilities = ["read", "update"]\n}\n`,
    }));
  return [...loosened, ...added];
}
