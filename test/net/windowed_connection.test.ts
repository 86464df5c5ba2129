// What a windowed connection asks of the runtime's own one, which here is a fake that takes everything at once.

import { describe, expect, test } from "bun:test";
import {
  type BareConnection,
  type BareStream,
  BREATH_BYTES,
  WindowedConnection,
} from "../../src/net/quic/windowed_connection.ts";
import { environment } from "../../src/server/environment.node.ts";
import { until } from "./wait.ts";

const WINDOW_BYTES = 16 << 20;

/** A grant of `limitBytes` for a stream, as it stands on the stream of grants. */
function grant(stream: number, limitBytes: number): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = stream;
  new DataView(bytes.buffer).setBigUint64(1, BigInt(limitBytes), true);
  return bytes;
}

/** A client's connection whose peer grants all at once, and what its streams were given to write. */
function fake(breathe?: () => Promise<void>) {
  const written: number[] = [];
  let opened = 0;
  const never = new Promise<never>(() => {});
  const openStream = (): Promise<BareStream> => {
    const number = opened++;
    let isGranted = false;
    return Promise.resolve({
      number,
      read: () => {
        if (number > 0 || isGranted) return never;
        isGranted = true;
        return Promise.resolve([grant(1, WINDOW_BYTES)]);
      },
      write: (bytes) => {
        if (number > 0) written.push(bytes.byteLength);
        return Promise.resolve();
      },
      abort: () => {},
    });
  };
  const connection: BareConnection = {
    closed: never,
    datagrams: { readable: new ReadableStream(), writable: new WritableStream() },
    incomingStreams: new ReadableStream<BareStream>(),
    takesTurns: true,
    openStream,
    close: () => {},
    ...(breathe && { breathe }),
  };
  const options = { connection, side: "client", windowBytes: WINDOW_BYTES, clock: environment.clock } as const;
  return { written, windowed: new WindowedConnection(options) };
}

const total = (sizes: readonly number[]) => sizes.reduce((sum, size) => sum + size, 0);

describe("a stream that writes on and on", () => {
  test("lets the event loop go round after so many bytes, where the runtime asks for it", async () => {
    const writtenAtBreath: number[] = [];
    const { written, windowed } = fake(() => {
      writtenAtBreath.push(total(written));
      return new Promise((resolve) => setTimeout(resolve, 0));
    });
    const stream = await windowed.createBidirectionalStream();
    await windowed.welcomed;
    const writer = stream.writable.getWriter();
    await writer.write(new Uint8Array(5 * BREATH_BYTES));
    expect(total(written)).toBe(5 * BREATH_BYTES);
    expect(writtenAtBreath).toEqual([1, 2, 3, 4, 5].map((count) => count * BREATH_BYTES));
    await writer.write(new Uint8Array(BREATH_BYTES - 1));
    expect(writtenAtBreath.length).toBe(5);
    await writer.write(Uint8Array.of(1));
    expect(writtenAtBreath.length).toBe(6);
  });

  test("writes on where the runtime does not", async () => {
    const { written, windowed } = fake();
    const stream = await windowed.createBidirectionalStream();
    await windowed.welcomed;
    void stream.writable.getWriter().write(new Uint8Array(5 * BREATH_BYTES));
    await until(() => total(written) === 5 * BREATH_BYTES, "all is written");
  });
});
