import { describe, expect, test } from "bun:test";
import { MemoryMemberStore } from "../../src/log/member_store.ts";
import { memberRecord, memberStoreSuite } from "../suites/member_store_suite.ts";

memberStoreSuite("MemoryMemberStore", () => Promise.resolve(new MemoryMemberStore()));

describe("MemoryMemberStore", () => {
  test("that is given records is not blank", () => {
    const store = new MemoryMemberStore([memberRecord("x", 4)]);
    expect(store.isBlank).toBe(false);
    expect(store.get("x")).toEqual(memberRecord("x", 4));
  });
});
