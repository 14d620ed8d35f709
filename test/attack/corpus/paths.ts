/** Ways to write a dot, a slash or an end that some reader or other takes for one. */
export const PIECES = [
  "",
  "\u00a0",
  ...words(`
  .. . %2e%2e %2E%2e .%2e %2e %252e%252e %25252e %c0%ae%c0%ae %e0%80%ae %f0%80%80%ae %uff0e%uff0e
  \uff0e\uff0e %ef%bc%8e%ef%bc%8e \u2024 \u2025 %e2%80%a5 ..; ..;x=y ... ....// %2f %2F %252f %5c %5C \\
  \\..\\ %c0%af %e0%80%af \uff0f %ef%bc%8f \u2215 \u29f8 / // ; ;x ;jsessionid=1 %3b %3B %00 %0 % %% %zz
  %u002f %2 %-1 %+1 %0a %0d %0d%0aX-Vault-Token:%20root %09 %08 %7f %80 %ff %fe%ff %1b %20 %20%20 a%20
  %20a +%20 %c2%a0 \u200b %e2%80%8b \ufeff %ef%bb%bf * ** + $ ! ' " ( ) [ ] { } | ^ \` < > & %26 %2a %24 ?
  ?? %3f # %23 #/../x ?version=1#x ?version=1?version=2 ?version=1&version=2 ?version=1&list=true ?version
  ?version= ?version=-1 ?version=1e3 ?version=0x1 ?version=1%00 ?version=%31 ?list=TRUE ?help=1
  ?wrap_ttl=60 ?namespace=root ?X-Vault-Token=root ?token=root ?jwt=x ?= ?& ?; ?version=1;x=1 ?VERSION=1
  ?version[]=1 ?version.x=1 ?__proto__=1 ?constructor=1 ?version=99999999999 ?standbyok=true ?list=1 ?list=T ?list=yes ?x=1 ?version=1&x=2 ?help= ?%76ersion=1 ?read_snapshot_id=1
`),
];

/** What goes nowhere, behind a name or alone: each makes a path that some reader or other takes for another. */
export const NOWHERE = words(`
  /../x /./x /%2e%2e/x /.%2E/x /%2e/x %2f../x %2F..%2Fx %2f%2e%2e%2fx /%2Fx %2f%2fx //x %252e%252e %252fx %25252e
  %2500 %25u002e %c0%ae%c0%ae %e0%80%ae %f0%80%80%ae %c0%af %ff %ed%a0%80 %00 %0a %0d%0a %09 %7f %c2%85 %c2%a0
  %e2%80%8b %e2%80%ae %ef%bb%bf %u002f %2 % %zz \\ \\..\\ /..%5cx /x%5c.. /..%5C..%5Cx #x #/../x
`);

/** Encodings of what names may have: a slash between two, too. */
export const ENCODED = words(`
  %20 %40 %2B %3d %7E %2F %2f %C3%BC %c3%bc %27 %28 %29 %26 %3B %3b %21 %24 %23 %2A %7C %5B %5D %22 %3C %5C %25 %61
  %F0%9F%98%80 ' ( ) & ; ! $ * | [ ]
`);

/** Where a piece stands: for the `@`. */
export const PLACES = words(`
  /v1/secret/data/@ /v1/secret/data/a/@/b /v1/secret/data/a@ /v1/secret/@/x /v1/@/secret/data/x
  /@v1/secret/data/x /v1/secret/metadata/@
`);

/** Whole targets. */
export const TARGETS = [
  `/v1/secret/data/${"a".repeat(2_100)}`,
  `/v1/secret/data${"/a".repeat(1_100)}`,
  `/v1/secret/data/a?version=${"1".repeat(2_000)}`,
  ...words(`
  http://127.0.0.1/v1/secret/data/a https://evil.example/v1/secret/data/a //evil.example/v1/secret/data/a
  evil.example:443 127.0.0.1:8200 * / ? # v1/secret/data/a \\v1\\secret\\data\\a file:///etc/passwd
  /V1/secret/data/a /v1/SECRET/data/a /v1/secret/DATA/a /v1/Secret/Data/a /v2/secret/data/a
  /v1/v1/secret/data/a /v1secret/data/a /v1/secretdata/a /v1/secret/data /v1/secret/data/ /v1/secret
  /v1/secret/ /v1 /v1/ /v1/secret/data/a/ /v1/secret/data/a// /v1/secret/metadata /v1/secret/metadata/a/
  /v1/sys/seal /v1/sys/raw/x /v1/sys/policies/acl/admin
  /v1/sys/rekey/init /v1/sys/step-down /v1/sys/generate-root/attempt /v1/sys/storage/raft/snapshot
  /v1/sys/audit /v1/sys/unseal /v1/sys/host-info /v1/sys/pprof /v1/sys/metrics
  /v1/sys/in-flight-req /v1/sys/config/state/sanitized /v1/sys/wrapping/unwrap /v1/sys/tools/random
  /v1/sys/internal/counters/activity /v1/sys/internal/specs/openapi /v1/auth/token/create
  /v1/auth/token/create-orphan /v1/auth/token/roles/x /v1/auth/jwt/config /v1/auth/jwt/role/x
  /v1/auth/platform-observe/login /v1/auth/platform-maintain/login /v1/auth/platform-backup/login
  /v1/identity/entity /v1/cubbyhole/x /v1/pki/issue/x /v1/transit/export/x /ui/ /ui/vault /metrics
  /v1/metrics
`),
];

function words(text: string): string[] {
  return text.trim().split(/[ \n]+/);
}
