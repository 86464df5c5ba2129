import { describe, expect, test } from "bun:test";
import { EMPTY_TAIL, type LogTail } from "../../src/core/position.ts";
import { MemoryStore } from "../../src/log/memory_store.ts";
import type { Log } from "../../src/log/log_store.ts";
import { bytesCodec, Command, type OutgoingMessage } from "../../src/peer/command.ts";
import type { Mesh } from "../../src/peer/mesh.ts";
import type { Channel } from "../../src/server/channel.ts";
import { fetchEntries, handleEntriesQuestions } from "../../src/server/entries_question.ts";
import { PIECE_BYTES_MAX } from "../../src/stream/stretch.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { PEER_PAYLOAD_BYTES_MAX } from "../../src/wire/peer_messages.ts";
import { appendSynced, checkedSeqs, range } from "../log/run_builder.ts";

type Handler = (value: unknown, context: { from: string; signal: AbortSignal }) => Promise<unknown>;

/** A mesh of two nodes: what one asks, the other handles, by way of bytes. */
class Between {
  handler: Handler = () => Promise.reject(new Error("nobody handles it"));
  readonly replyBytes: number[] = [];
  from = "b";

  handle(_command: unknown, handler: Handler): void {
    this.handler = handler;
  }

  async request(_id: string, { command, payload }: OutgoingMessage): Promise<unknown> {
    const value = command.codec.decode(payload);
    const reply = await this.handler(value, { from: this.from, signal: new AbortController().signal });
    const bytes = command.reply!.encode(reply);
    this.replyBytes.push(bytes.byteLength);
    return command.reply!.decode(bytes);
  }
}

async function rig(payloadBytes: number | ((seq: number) => number) = 100) {
  const log = await new MemoryStore({ crc32 }).open("i");
  for (let count = 0; count < 10; count++) await appendSynced(log, { payloadBytes });
  const channel = {
    log,
    commit: { value: 9 },
    isLeading: true,
    isBehind: false,
    member: { membership: { voters: ["a", "b"], observers: ["o"] } },
  };
  const between = new Between();
  handleEntriesQuestions(between as unknown as Mesh, (id) => id === "i" ? channel as unknown as Channel : undefined);
  const ask = (after: LogTail, upTo: number, more: { incarnation?: string; bytesMax?: number } = {}) => {
    const { incarnation = "i", bytesMax = 1 << 24 } = more;
    const source = { mesh: between as unknown as Mesh, crc32, leader: "a", incarnation };
    return fetchEntries({ after, upTo, bytesMax }, { ...source, signal: new AbortController().signal });
  };
  return { log, channel, between, ask };
}

const refusal = (asked: Promise<unknown>) => asked.then(() => "none", String);
const before = (log: Log, seq: number) => log.tailAt(seq);

describe("a leader that is asked for entries", () => {
  test("gives exactly those, in one answer where they fit", async () => {
    const { log, between, ask } = await rig();
    expect(checkedSeqs(await ask(await before(log, 4), 6))).toEqual([4, 5, 6]);
    expect(checkedSeqs(await ask(EMPTY_TAIL, 9))).toEqual(range(1, 9));
    expect(between.replyBytes).toEqual([1 + 3 * 132, 1 + 9 * 132]);
  });

  test("gives entries that are larger than a message, in pieces that are not", async () => {
    const { log, between, ask } = await rig((seq) => seq === 3 ? 3 * PIECE_BYTES_MAX : 1000);
    expect(checkedSeqs(await ask(await before(log, 2), 4))).toEqual([2, 3, 4]);
    expect(between.replyBytes.length).toBeGreaterThan(3);
    expect(Math.max(...between.replyBytes)).toBeLessThanOrEqual(PIECE_BYTES_MAX + 1);
    expect(PIECE_BYTES_MAX + 1).toBeLessThanOrEqual(PEER_PAYLOAD_BYTES_MAX);
  });

  test("gives nothing that is not committed, or follows on another history", async () => {
    const { log, ask } = await rig();
    const after = await before(log, 4);
    expect(await refusal(ask(after, 10))).toMatch(/committed are those up to 9/);
    expect(await refusal(ask({ ...after, chain: after.chain ^ 1 }, 6))).toMatch(/other entries before entry 4/);
    expect(await refusal(ask({ ...after, epoch: 7 }, 6))).toMatch(/other entries before entry 4/);
    expect(await refusal(ask(log.tail, 8))).toBe("none");
  });

  test("gives nothing to strangers, nor as one that does not lead", async () => {
    const { log, between, channel, ask } = await rig();
    const after = await before(log, 4);
    between.from = "o";
    expect(checkedSeqs(await ask(after, 4))).toEqual([4]);
    between.from = "x";
    expect(await refusal(ask(after, 4))).toMatch(/node x is no member of the channel here/);
    between.from = "b";
    expect(await refusal(ask(after, 4, { incarnation: "other" }))).toMatch(/node b is no member of the channel here/);
    channel.isBehind = true;
    expect(await refusal(ask(after, 4))).toMatch(/does not lead the channel/);
    Object.assign(channel, { isBehind: false, isLeading: false });
    expect(await refusal(ask(after, 4))).toMatch(/does not lead the channel/);
  });

  test("answers a few at a time, and refuses a question that is none", async () => {
    const { log, between, ask } = await rig();
    const after = await before(log, 4);
    const answers = await Promise.all(range(1, 6).map(() => refusal(ask(after, 4))));
    expect(answers).toEqual(range(1, 6).map(() => "none"));
    expect(await refusal(ask({ ...after, chain: -1 }, 4))).toMatch(/chain/);
    const beyond = { incarnation: "i", after, upTo: 4, offset: 5000 };
    const signal = new AbortController().signal;
    expect(await between.handler(beyond, { from: "b", signal })).toMatchObject({
      kind: "refused",
      reason: expect.stringContaining("nothing at 5000"),
    });
  });
});

describe("a node that asks for entries", () => {
  test("takes no more than it may, and nothing that is no entry", async () => {
    const { log, between, ask } = await rig();
    const after = await before(log, 4);
    expect(await refusal(ask(after, 6, { bytesMax: 300 }))).toMatch(/allowed are 300/);
    const say = (bytes: Uint8Array) => between.handler = () => Promise.resolve({ kind: "piece", bytes });
    say(new Uint8Array(200).fill(1));
    expect(await refusal(ask(after, 6))).toMatch(/too small pieces/);
    say(new Uint8Array(200).fill(200));
    expect(await refusal(ask(after, 6))).toMatch(/ProtocolError/);
    say(new Uint8Array(0));
    expect(await refusal(ask(after, 6))).toMatch(/RangeError/);
    const reply = new Command("x", { value: bytesCodec, reply: bytesCodec });
    between.request = () => Promise.resolve(reply.codec.decode(new Uint8Array(0)));
    expect(await refusal(ask(after, 6))).toMatch(/Error/);
  });
});
