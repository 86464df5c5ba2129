// The contract of a MemberStore (src/log/member_store.ts) in executable form. Runs against every implementation.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { MemberRecord } from "../../src/core/replica_set.ts";
import type { MemberStore } from "../../src/log/member_store.ts";
import { codeOf } from "../log/run_builder.ts";

/** A record of `channel` whose content follows from `epoch`. */
export function memberRecord(channel: string, epoch: number, change: Partial<MemberRecord> = {}): MemberRecord {
  const membership = { voters: ["a", "b", "c"], observers: epoch % 2 === 0 ? [] : ["d"] };
  return {
    channel,
    epoch,
    votedFor: ["", "a", "b"][epoch % 3]!,
    isDoubtful: epoch % 4 === 3,
    ...(epoch % 8 === 3 ? { isForgetful: true } : {}),
    soundFrom: epoch * 7,
    memberships: [{ seq: 0, epoch: 0, membership: { voters: ["a"], observers: [] } }, { seq: 5, epoch, membership }],
    ...change,
  };
}

export function memberStoreSuite(name: string, makeStore: () => Promise<MemberStore>): void {
  describe(`${name} is a MemberStore`, () => {
    let store: MemberStore;

    beforeEach(async () => {
      store = await makeStore();
    });
    afterEach(() => store.close());

    test("begins blank, without records", () => {
      expect([store.isBlank, store.isDamaged]).toEqual([true, false]);
      expect(store.get("x")).toBe(undefined);
      expect([...store.records()]).toEqual([]);
    });

    test("gives back what was put, the last of each channel", async () => {
      await store.put(memberRecord("x", 1));
      await store.put(memberRecord("y", 9));
      await store.put(memberRecord("x", 2));
      expect(store.get("x")).toEqual(memberRecord("x", 2));
      expect(store.get("y")).toEqual(memberRecord("y", 9));
      expect([...store.records()].map(({ channel }) => channel).sort()).toEqual(["x", "y"]);
    });

    test("of records of one channel put together keeps the last, and resolves all", async () => {
      await Promise.all([1, 2, 3].map((epoch) => store.put(memberRecord("x", epoch))));
      expect(store.get("x")!.epoch).toBe(3);
    });

    test("keeps ids of 64 bytes, the largest numbers and eight memberships", async () => {
      const id = "ü".repeat(32);
      const membership = { voters: [id], observers: [] };
      const memberships = Array.from({ length: 8 }, (_, seq) => ({ seq, epoch: seq, membership }));
      const [epoch, soundFrom] = [0xffff_ffff, Number.MAX_SAFE_INTEGER];
      const record = memberRecord(id, 1, { epoch, soundFrom, votedFor: id, memberships });
      await store.put(record);
      expect(store.get(id)).toEqual(record);
    });

    test("forgets what is removed, and removes what is not there", async () => {
      await store.remove("nothing");
      await store.put(memberRecord("x", 1));
      await store.remove("x");
      expect(store.get("x")).toBe(undefined);
      const [put, removed] = [store.put(memberRecord("y", 1)), store.remove("y")];
      await Promise.all([put, removed]);
      expect([...store.records()]).toEqual([]);
    });

    const faults: [string, MemberRecord][] = [
      ["no channel", memberRecord("", 1)],
      ["a channel of 65 bytes", memberRecord("a".repeat(65), 1)],
      ["a vote of 65 bytes", memberRecord("x", 1, { votedFor: "a".repeat(65) })],
      ["no membership", memberRecord("x", 1, { memberships: [] })],
      ["nine memberships", memberRecord("x", 1, { memberships: Array(9).fill(memberRecord("x", 1).memberships[0]) })],
      [
        "a membership without voters",
        memberRecord("x", 1, { memberships: [{ seq: 0, epoch: 0, membership: { voters: [], observers: [] } }] }),
      ],
    ];
    for (const [what, record] of faults) {
      test(`refuses a record with ${what}, and goes on`, async () => {
        await expect(store.put(record)).rejects.toThrow(RangeError);
        await store.put(memberRecord("y", 1));
        expect([...store.records()].length).toBe(1);
      });
    }

    test("refuses with closed once closed; closing again is harmless", async () => {
      const last = store.put(memberRecord("x", 1));
      await store.close();
      await last;
      await store.close();
      expect(await codeOf(() => store.put(memberRecord("x", 2)))).toBe("closed");
      expect(await codeOf(() => store.remove("x"))).toBe("closed");
      expect(await codeOf(() => store.mend())).toBe("closed");
    });

    test("has nothing to mend", async () => {
      await store.mend();
      expect(store.isDamaged).toBe(false);
    });
  });
}
