import { describe, expect, test } from "bun:test";
import type { Channel } from "../../src/server/channel.ts";
import { isStillFollowed } from "../../src/server/following_question.ts";

interface Leader {
  role: string;
  epoch: number;
  membership: { voters: string[]; observers: string[] };
}

/** What `a` finds when it asks; `answers` has what each other node says, and is told when it is asked. */
async function asked(answers: Record<string, () => Promise<{ isFollowing: boolean }>>, leader: Partial<Leader> = {}) {
  const member = { role: "leader", epoch: 3, membership: { voters: ["a", "b", "c"], observers: [] }, ...leader };
  const mesh = { request: (id: string) => answers[id]!() };
  const channel = { incarnation: "i", member } as unknown as Channel;
  return await isStillFollowed(channel, { mesh: mesh as never, nodeId: "a" });
}

const yes = () => Promise.resolve({ isFollowing: true });
const no = () => Promise.resolve({ isFollowing: false });
const silent = () => Promise.reject(new Error("nobody answers"));

describe("a leader that asks whether it is still followed", () => {
  test("is, where a majority says so, itself counted", async () => {
    expect(await asked({ b: yes, c: silent })).toBe(true);
    expect(await asked({}, { membership: { voters: ["a"], observers: ["b"] } })).toBe(true);
  });

  test("is not, where none does", async () => {
    expect(await asked({ b: no, c: no })).toBe(false);
    expect(await asked({ b: silent, c: no })).toBe(false);
    const five = { membership: { voters: ["a", "b", "c", "d", "e"], observers: [] } };
    expect(await asked({ b: yes, c: silent, d: no, e: silent }, five)).toBe(false);
  });

  test("is not, where it leads no more by the time of the answers", async () => {
    const member = { role: "leader", epoch: 3, membership: { voters: ["a", "b", "c"], observers: [] } };
    const deposed = () => {
      member.role = "replica";
      return yes();
    };
    const channel = { incarnation: "i", member } as unknown as Channel;
    const mesh = { request: deposed } as never;
    expect(await isStillFollowed(channel, { mesh, nodeId: "a" })).toBe(false);
    expect(await asked({ b: yes, c: yes }, { role: "replica" })).toBe(false);
  });
});
