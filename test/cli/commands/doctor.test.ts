import { expect, test } from "vitest";
import { checkVersion } from "../../../services/cli/commands/doctor.ts";
import { ADVISORIES, RECOMMENDED } from "../../../services/cli/vault-binary/versions.ts";

test("a Vault with known advisories is a warning that names each, who can use it, and the way out", () => {
  const { result, detail, notes = [], hint, advisories } = checkVersion("1.21.2", []);
  const reachable = ADVISORIES.filter(({ reachable: by }) => by === "some");
  expect(result).toBe("warn");
  expect(detail).toBe(
    `1.21.2; ${RECOMMENDED.version} of ${RECOMMENDED.released} is recommended; ` +
      `${ADVISORIES.length} known advisories, ${reachable.length} reachable here`,
  );
  expect(notes.map((note) => note.split(",")[0])).toEqual(reachable.map(({ id }) => id));
  expect(hint).toContain(RECOMMENDED.version);
  expect(advisories).toEqual(ADVISORIES);
});

test("the recommended one is well", () => {
  expect(checkVersion(RECOMMENDED.version, [])).toMatchObject({ result: "ok", notes: [], advisories: [] });
});

test("what was passed over is said again, whatever is used instead", () => {
  const passedOver = ["the release of Vault 2.2.2: configuring the internal Vault: no such path"];
  const { result, notes } = checkVersion(RECOMMENDED.version, passedOver);
  expect(result).toBe("warn");
  expect(notes).toEqual([`Not used: ${passedOver[0]}`]);
});
