import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { createAuthenticator } from "../../../services/shared/front/identity/authenticator.ts";
import { newOrgId } from "../../../services/shared/org.ts";
import { checkSignature } from "../../../services/worker/broker/check-signature.ts";
import { callerVerifier } from "../../../services/worker/broker/verified-caller.ts";
import { startPublished } from "../../harness/published.ts";
import { compact, newPair, respell, startIssuer, tamper } from "../../harness/tokens.ts";

const logger = pino({ level: "silent" });

async function start() {
  const issuer = await startIssuer();
  const published = await startPublished({ issuers: [issuer], logger, now: Date.now });
  const [acme, globex] = [newOrgId(), newOrgId()];
  const orgs = [
    { id: acme, claim: "org_acme", address: "https://127.0.0.1:1" },
    { id: globex, claim: "org_globex", address: "https://127.0.0.1:1" },
  ];
  let ahead = 0;
  const { directory, revocations } = published;
  const none: never[] = [];
  const authenticator = createAuthenticator(
    {
      ...{ issuers: () => directory.current?.issuers ?? none, logger, maxLifetimeSeconds: 3600 },
      now: () => Date.now() + ahead,
    },
    checkSignature,
  );
  onTestFinished(async () => {
    authenticator.close();
    await published.close();
    await issuer.close();
  });
  const verify = callerVerifier({ directory, revocations, authenticator });
  const skip = (seconds: number) => {
    ahead += seconds * 1000;
  };
  return { ...{ issuer, published, orgs, acme, globex, verify, skip } };
}

const refused = (failure: string) => ({ name: "UseFailure", failure });

describe("a caller", () => {
  test("is who their token says, of the organization that it names", async () => {
    const { issuer, published, orgs, acme, globex, verify } = await start();
    await published.publish(orgs);
    const token = issuer.token({ sub: "ada", [issuer.issuer.groupsClaim]: ["writer", "billing"] });
    const expected = {
      ...{ org: acme, issuer: issuer.issuer.issuer, subject: "ada", level: "writer" },
      groups: ["writer", "billing"],
    };
    expect(await verify({ token, org: acme })).toEqual(expected);
    expect(await verify({ token, org: acme })).toEqual(expected);
    expect(issuer.fetches).toBe(1);
    await expect(verify({ token, org: globex })).rejects.toMatchObject(refused("forbidden"));
    const other = issuer.token({ [issuer.issuer.orgClaim]: "org_globex" });
    await expect(verify({ token: other, org: acme })).rejects.toMatchObject(refused("forbidden"));
  });

  test("is not accepted by a token that is forged, spelled otherwise, expired or revoked", async () => {
    const { issuer, published, orgs, acme, verify, skip } = await start();
    await published.publish(orgs);
    const good = issuer.token({ jti: "t1" });
    const claims = issuer.claims();
    const stranger = newPair("RS256", issuer.pair.kid);
    const header = { alg: "RS256", typ: "JWT", kid: issuer.pair.kid };
    const [head = "", payload = ""] = good.split(".");
    const bad = [
      ...[tamper(good, 0), tamper(good, 1), tamper(good, 2), respell(good) ?? "", `${good} `, `${good}.`],
      ...[`${head}.${payload}.`, "", "a.b.c", compact(header, claims, stranger)],
      ...[
        compact({ ...header, alg: "none" }, claims, issuer.pair),
        compact({ ...header, jku: "http://x" }, claims, issuer.pair),
      ],
      ...[
        issuer.token({ aud: "other" }),
        issuer.token({ iss: "https://other.example" }),
        issuer.token({ exp: 1 }),
      ],
      ...[issuer.token({ iat: 4e9, exp: 4e9 + 60 }), issuer.token({ exp: 4e9 })],
    ];
    for (const token of bad) {
      await expect(verify({ token, org: acme }), token).rejects.toMatchObject(refused("unauthenticated"));
    }
    await verify({ token: good, org: acme });
    const ends = Math.floor(Date.now() / 1000) + 3600;
    const revocations = [{ tokenId: "t1", ends }];
    await published.revoke([{ issuer: issuer.issuer.issuer, claim: "org_acme", revocations }]);
    await expect(verify({ token: good, org: acme })).rejects.toMatchObject(refused("unauthenticated"));
    const later = issuer.token();
    await verify({ token: later, org: acme });
    skip(301);
    await expect(verify({ token: later, org: acme })).rejects.toMatchObject(refused("unauthenticated"));
  });

  test("has a level, or uses nothing", async () => {
    const { issuer, published, orgs, acme, verify } = await start();
    await published.publish(orgs);
    const groups = (names: string[]) => issuer.token({ [issuer.issuer.groupsClaim]: names });
    expect((await verify({ token: groups([]), org: acme })).level).toBe("reader");
    expect((await verify({ token: groups(["admin", "auditor"]), org: acme })).level).toBe("admin");
    for (const right of ["auditor", "rotation-operator"]) {
      await expect(verify({ token: groups([right]), org: acme })).rejects.toMatchObject(refused("forbidden"));
    }
  });

  test("of an organization that has just been published is found; nobody is before anything is", async () => {
    const { issuer, published, orgs, acme, globex, verify } = await start();
    const token = issuer.token();
    await expect(verify({ token, org: acme })).rejects.toMatchObject({
      ...refused("internal"),
      parts: { retryAfterSeconds: 1 },
    });
    await published.publish(orgs.slice(1));
    await expect(verify({ token, org: acme })).rejects.toMatchObject(refused("forbidden"));
    await published.directoryServer.publish({
      ...{ version: 2, issuedAt: new Date().toISOString(), issuers: [issuer.issuer], deleted: [] },
      orgs: orgs.map((org) => ({ ...org, issuer: issuer.issuer.issuer })),
    });
    expect((await verify({ token, org: acme })).org).toBe(acme);
    expect(globex).not.toBe(acme);
  });
});
