// A client of TLS on Node, whose tickets are its own, in a process of its own: gets one from the first of `ports` and shows it at
// each of them. Prints one line of JSON: for each port whether the ticket was taken, and the kind of the first message, if any.
//
//   node test/net/ticket_client.node.ts '{"ports":[1,2],"ca":PEM,"cert":PEM,"key":PEM}'

import process from "node:process";
import { connect, type ConnectionOptions } from "node:tls";
import { ALPN_PROTOCOL, LENGTH_BYTES } from "../../src/net/tls/mapping.ts";

export interface Shown {
  readonly isReused: boolean;
  readonly kind: number | null;
}

interface Visit extends Shown {
  readonly ticket: Uint8Array | undefined;
}

interface Visiting extends ConnectionOptions {
  /** Said first, to a server that says nothing by itself. */
  readonly say?: string;
}

/** Connects, waits for the first message and a ticket, or the end, and goes. */
function visit({ say, ...options }: Visiting): Promise<Visit> {
  const socket = connect({ host: "127.0.0.1", ALPNProtocols: [ALPN_PROTOCOL], minVersion: "TLSv1.3", ...options });
  if (say !== undefined) socket.write(say);
  return new Promise((resolve) => {
    let [kind, ticket, isReused]: [number | null, Uint8Array | undefined, boolean] = [null, undefined, false];
    const leave = () => {
      resolve({ kind, ticket, isReused });
      socket.destroy();
    };
    socket.on("error", () => {});
    socket.on("close", leave);
    socket.on("secureConnect", () => isReused = socket.isSessionReused());
    socket.on("session", (bytes: Uint8Array) => {
      ticket = bytes;
      if (kind !== null) leave();
    });
    socket.on("data", (bytes: Uint8Array) => {
      kind ??= bytes[LENGTH_BYTES]!;
      if (ticket || isReused) leave();
    });
  });
}

const { ports, ...identity } = JSON.parse(process.argv[2]!) as Visiting & { ports: number[] };
const { ticket } = await visit({ ...identity, port: ports[0]! });
const shown: Shown[] = [];
for (const port of ports) {
  const { isReused, kind } = await visit({ ...identity, port, session: ticket } as Visiting);
  shown.push({ isReused, kind });
}
process.stdout.write(`${JSON.stringify(shown)}\n`);
