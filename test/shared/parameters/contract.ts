import { expect, test } from "vitest";
import type { ParameterStore } from "../../../services/shared/parameters/store.ts";
import { Secret } from "../../../services/shared/secret.ts";

/** What every parameter store does; `store` gives an empty one. */
export function parameterStoreContract(store: () => ParameterStore): void {
  const read = async (name: string) => (await store().get(name))?.reveal();

  test("what was put is got, whatever its characters", async () => {
    for (const text of [
      "hvs.token",
      "-----BEGIN\nlines\n",
      " spaced ",
      "ünïcode \u{1F511}",
      "x".repeat(4000),
    ]) {
      await store().put("/p/orgs/a/token", new Secret(text));
      expect(await read("/p/orgs/a/token")).toBe(text);
    }
  });

  test("a name is a parameter and a path at once", async () => {
    await store().put("/p/a", new Secret("1"));
    await store().put("/p/a/b", new Secret("2"));
    expect([await read("/p/a"), await read("/p/a/b")]).toEqual(["1", "2"]);
  });

  test("what is not there is undefined, and deleting it is no error", async () => {
    expect(await read("/p/none")).toBeUndefined();
    await store().delete("/p/none");
    await store().put("/p/some", new Secret("1"));
    await store().delete("/p/some");
    expect(await read("/p/some")).toBeUndefined();
    expect(await store().list("/p/")).toEqual([]);
  });

  test("all names under a prefix are listed, and no others", async () => {
    expect(await store().list("/p/orgs/")).toEqual([]);
    const names = Array.from({ length: 23 }, (_, number) => `/p/orgs/${100 + number}/token`);
    for (const name of [...names, "/p/orgsx/token", "/q/orgs/100/token"]) {
      await store().put(name, new Secret("1"));
    }
    expect(await store().list("/p/orgs/")).toEqual(names);
    expect(await store().list("/p/orgs/100/")).toEqual(["/p/orgs/100/token"]);
    expect(await store().list("/")).toHaveLength(25);
  });

  test("what is no name is refused before anything happens", async () => {
    for (const name of [
      "",
      "p",
      "/",
      "/p/",
      "//p",
      "/p/../q",
      "/p/.",
      "/..",
      "/p q",
      "/p%2Fq",
      "/p\0",
      "p/q",
    ]) {
      await expect(store().put(name, new Secret("canary"))).rejects.toThrow("not a valid parameter name");
      await expect(store().get(name)).rejects.toThrow("not a valid parameter name");
      await expect(store().delete(name)).rejects.toThrow("not a valid parameter name");
    }
    await expect(store().put(`/${"x".repeat(200)}`, new Secret("canary"))).rejects.toThrow(
      "not a valid parameter name",
    );
    expect(await store().list("/")).toEqual([]);
  });
}
