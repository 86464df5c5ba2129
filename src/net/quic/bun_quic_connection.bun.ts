// A connection of Bun's node:quic as WindowedConnection takes it.

import { DatagramInbox } from "../datagram_inbox.ts";
import { DRAINED, type NodeQuicSession, type NodeQuicStream, type NodeQuicWriter } from "./node_quic.bun.ts";
import type { ConnectQuicOptions } from "./quic.ts";
import { type BareConnection, type BareStream, WindowedConnection } from "./windowed_connection.ts";

/** Takes over `session` and its callbacks; to be called in the turn in which it came to be. */
export function adaptSession(
  session: NodeQuicSession,
  side: "client" | "server",
  { limits, environment }: Pick<ConnectQuicOptions, "limits" | "environment">,
): WindowedConnection {
  const inbox = new DatagramInbox();
  session.ondatagram = (bytes) => inbox.push(new Uint8Array(bytes));
  const { closed, endHere } = closedOf(session);
  let openedCount = 0;
  closed.catch(() => {}).then(() => inbox.stop());
  const connection: BareConnection = {
    closed,
    datagrams: {
      readable: inbox.readable,
      writable: new WritableStream<Uint8Array>({
        write: async (bytes) => void await session.sendDatagram(bytes),
      }),
    },
    incomingStreams: incomingStreams(session, closed),
    takesTurns: true,
    breathe: environment.clock.turn,
    openStream: async () => {
      // A stream has no id before its first byte, but ids are given in the order of the calls.
      const number = openedCount++;
      return bareStream(await session.createBidirectionalStream(), number);
    },
    close: ({ closeCode = 0, reason = "" } = {}) => {
      endHere();
      // Without a code nothing at all is sent. `close` would wait for streams whose peer takes nothing.
      session.destroy(undefined, { code: closeCode, type: "application", reason });
    },
  };
  return new WindowedConnection({ connection, side, windowBytes: limits.laneWindowBytes, clock: environment.clock });
}

/** Close code and reason as node:quic tells them: in the error that `closed` rejects with. */
function closedOf(session: NodeQuicSession) {
  let isEndedHere = false;
  const closed = session.closed.then(() => {
    if (isEndedHere) return undefined;
    throw new Error("the connection went away without a close code");
  }, (error: Error & { code?: string; errorCode?: bigint; reason?: string }) => {
    if (error.code !== "ERR_QUIC_APPLICATION_ERROR") throw error;
    return { closeCode: Number(error.errorCode), reason: error.reason ?? "" };
  });
  closed.catch(() => {});
  return { closed, endHere: () => void (isEndedHere = true) };
}

function incomingStreams(session: NodeQuicSession, closed: Promise<unknown>): ReadableStream<BareStream> {
  return new ReadableStream({
    start: (controller) => {
      session.onstream = (stream) => controller.enqueue(bareStream(stream, Number(stream.id! / 4n)));
      const end = () => controller.close();
      closed.then(end, end);
    },
  });
}

function bareStream(stream: NodeQuicStream, number: number): BareStream {
  stream.closed.catch(() => {});
  const chunks = stream[Symbol.asyncIterator]();
  const { writer } = stream;
  return {
    number,
    read: async () => {
      const { done, value } = await chunks.next();
      return done ? undefined : value;
    },
    write: async (bytes) => {
      while (!writer.writeSync(bytes)) await room(writer);
      if (writer.desiredSize === 0) await room(writer);
    },
    abort: () => writer.fail(),
  };
}

async function room(writer: NodeQuicWriter): Promise<void> {
  const drained = writer[DRAINED]();
  if (drained === null && !writer.desiredSize) throw new Error("the stream takes no more");
  await drained;
}
