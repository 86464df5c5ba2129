import { describe, expect, test } from "bun:test";
import { concatBytes, equalBytes } from "../../src/lib/bytes.ts";
import { framed } from "../../src/net/tls/mapping.ts";
import { type BatchWriter, WriteBatch } from "../../src/net/tls/write_batch.ts";
import { pattern } from "./lane_bytes.ts";

class Recorder implements BatchWriter {
  readonly writes: Uint8Array[] = [];
  readonly dones: ((() => void) | undefined)[] = [];

  write(bytes: Uint8Array, done?: () => void): void {
    this.writes.push(bytes);
    this.dones.push(done);
  }
}

/** Adds `message` as a session does: built in place. */
function build(batch: WriteBatch, writer: BatchWriter, message: Uint8Array): void {
  const space = batch.space(writer).subarray(0, message.byteLength);
  space.set(message);
  batch.add(writer, space);
}

describe("WriteBatch", () => {
  test("what is added in one turn leaves in one write, built in place or not", async () => {
    const [batch, writer] = [new WriteBatch({ largestMessages: 4 }), new Recorder()];
    build(batch, writer, pattern(0, 100));
    batch.add(writer, pattern(5, 7));
    build(batch, writer, pattern(9, 1));
    expect([batch.waitingBytes(writer), writer.writes.length]).toEqual([120, 0]);
    await Promise.resolve();
    expect(writer.writes).toEqual([concatBytes([pattern(0, 100), pattern(5, 7), pattern(9, 1)].map(framed))]);
    expect(batch.waitingBytes(writer)).toBe(0);
  });

  test("a full block is written at once, and used again only once it is no longer needed", () => {
    const [batch, writer] = [new WriteBatch({ largestMessages: 2 }), new Recorder()];
    const largest = pattern(3, 65_537);
    for (let count = 0; count < 5; count++) build(batch, writer, largest);
    expect(writer.writes.map(({ byteLength }) => byteLength)).toEqual([2 * 65_541, 2 * 65_541]);
    const [first, second] = writer.writes;
    expect(first!.buffer).not.toBe(second!.buffer);
    expect(equalBytes(first!, concatBytes([framed(largest), framed(largest)]))).toBe(true);
    writer.dones[0]!();
    batch.flush();
    for (let count = 0; count < 3; count++) build(batch, writer, largest);
    expect(writer.writes.at(-1)!.buffer).toBe(first!.buffer);
  });

  test("a few bytes hold no block, whoever reads them late", () => {
    const [batch, writer] = [new WriteBatch({ largestMessages: 4 }), new Recorder()];
    build(batch, writer, pattern(0, 50));
    batch.flush();
    expect([writer.writes[0]!.buffer.byteLength, writer.dones[0]]).toEqual([54, undefined]);
  });

  test("another connection that begins pushes out what waits of the one before, and nothing mixes", () => {
    const [batch, one, two] = [new WriteBatch({ largestMessages: 4 }), new Recorder(), new Recorder()];
    build(batch, one, pattern(0, 10));
    build(batch, two, pattern(1, 10));
    expect([one.writes, two.writes]).toEqual([[framed(pattern(0, 10))], []]);
    batch.flush();
    expect(two.writes).toEqual([framed(pattern(1, 10))]);
  });
});
