// The transports of programs, each found by asking a node for it, under the real `connect`.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { connect, type ConnectOptions } from "../../src/net/connect/connect.ts";
import { ConnectMemory } from "../../src/net/connect/connect_memory.ts";
import type { NetworkTransport } from "../../src/net/connect/dialer.ts";
import { programConnecting } from "../../src/net/connect/program_dialers.node.ts";
import type { SessionListener } from "../../src/net/listener.ts";
import { listenQuic, quicListenCapability } from "../../src/net/quic/quic.node.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { listenTcp, listenTls } from "../../src/net/tls/listen.node.ts";
import type { ClientIdentity } from "../../src/net/tls_identity.ts";
import { environment } from "../../src/server/environment.node.ts";
import { thisRuntime } from "../process/program.ts";
import { Workbench } from "../process/workbench.ts";
import { type TestAuthority, testAuthority } from "./authority.ts";
import { type SelfSigned, selfSigned } from "./certificate.ts";
import { collecting } from "./transports/transport_under_test.ts";
import { webTransports } from "./transports/webtransport.ts";
import { rejection, until } from "./wait.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const END = { code: "done", reason: "" };
const hex = (bytes: Uint8Array) => bytes.toHex();

let authority: TestAuthority;
let issued: SelfSigned;
let own: SelfSigned;
beforeAll(async () => {
  authority = await testAuthority({ name: "ours" });
  [issued, own] = await Promise.all([authority.issue(), selfSigned()]);
});

interface ProgramTransport {
  readonly name: NetworkTransport;
  readonly isHere: boolean;
  readonly note: string;
  readonly isSecure: boolean;
  /** Whether a certificate can be trusted by its hash here; `pinNote` says where it can. */
  readonly pins: boolean;
  readonly pinNote: string;
  listen(certificate: SelfSigned): Promise<SessionListener>;
}

const quicCapability = quicListenCapability();
const TRANSPORTS: readonly ProgramTransport[] = [
  {
    name: "quic",
    isHere: quicCapability.isSupported,
    note: " (needs QUIC: run it on Bun, or on Deno with --unstable-net)",
    isSecure: true,
    pins: thisRuntime() === "bun",
    pinNote: " (needs QUIC that trusts by hash: run it on Bun)",
    listen: ({ cert, key }) => listenQuic({ ...collecting().options, identity: { cert, key } }),
  },
  {
    name: "tls",
    isHere: true,
    note: "",
    isSecure: true,
    pins: true,
    pinNote: "",
    listen: ({ cert, key }) => listenTls({ ...collecting().options, identity: { cert, key } }),
  },
  {
    name: "tcp",
    isHere: true,
    note: "",
    isSecure: false,
    pins: true,
    pinNote: "",
    listen: () => listenTcp(collecting().options),
  },
];

/** The address of something that says of itself what a node would. */
async function nodeWith(offer: object): Promise<string> {
  const server = createServer((_, response) => response.end(JSON.stringify(offer)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  bench.defer(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function connectBy(url: string, { name }: ProgramTransport, options: Partial<ConnectOptions> = {}) {
  const fixed = { ...programConnecting(environment, options.identity), transports: [name], limits: SESSION_LIMITS };
  return connect(url, { ...fixed, ...options });
}

for (const transport of TRANSPORTS) {
  const { name, isHere, isSecure, note, pins, pinNote } = transport;
  const check = test.skipIf(!isHere);

  const listen = async (certificate: SelfSigned) => {
    const listener = await transport.listen(certificate);
    bench.defer(() => listener.close());
    return listener;
  };
  const offerOf = (listener: SessionListener, ...certificateHashes: string[]) => ({
    certificateHashes,
    transports: [{ name, available: true, reason: "", url: listener.url }],
  });

  describe(`connect by ${name}`, () => {
    test.skipIf(!pins)(`finds the address and the certificates by asking the node${pinNote}`, async () => {
      const listener = await listen(own);
      const node = await nodeWith(offerOf(listener, "00".repeat(32), hex(own.hash)));
      const { session, url, address, ...connected } = await connectBy(node, transport);
      expect([session.transport, connected.transport, url, address]).toEqual([name, name, listener.url, "127.0.0.1"]);
      await session.close(END);
    });

    check(`goes to an address that says so by itself, at each of the host's addresses${note}`, async () => {
      const identity: ClientIdentity = isSecure ? { ca: [authority.ca] } : {};
      const { port } = await listen(issued);
      const resolve = () =>
        Promise.resolve([{ address: "127.0.0.2", family: 4 as const }, { address: "127.0.0.1", family: 4 as const }]);
      const url = `${name}://localhost:${port}`;
      const { session, address, attempts } = await connectBy(url, transport, { identity, resolve });
      expect([session.transport, address, attempts[1]?.outcome]).toEqual([name, "127.0.0.1", "won"]);
      await session.close(END);
    });

    if (!isSecure) return;
    check(`refuses a server that is not trusted${note}`, async () => {
      const listener = await listen(issued);
      const other = await testAuthority({ name: "theirs" });
      const wrongHash = await nodeWith(offerOf(listener, "00".repeat(32)));
      const rightHash = await nodeWith(offerOf(listener, hex(issued.hash)));
      const ca = [other.ca];
      const failures = await Promise.all([
        ...(pins ? [rejection(connectBy(wrongHash, transport))] : []),
        rejection(connectBy(rightHash, transport, { identity: { ca } })),
        rejection(connectBy(listener.url, transport, { identity: { ca } })),
        rejection(connectBy(listener.url, transport)),
      ]);
      for (const failure of failures) expect(failure).toMatchObject({ name: "TransportError", code: "refused" });
    });
  });
}

describe("connect by quic", () => {
  test.skipIf(quicCapability.isSupported)("says what would enable it (only where there is no QUIC: Node)", async () => {
    const [quic] = TRANSPORTS;
    const failure = await rejection(connectBy("quic://127.0.0.1:1", quic!));
    expect(failure).toMatchObject({ code: "unsupported", message: expect.stringContaining("Bun") });
  });
});

describe("connect by webtransport", () => {
  for (const transport of webTransports.slice(0, 2)) {
    const { name, backend: { http }, unsupported } = transport;
    test.skipIf(unsupported !== undefined)(
      `finds the address, the version of HTTP and the certificate: ${name}`,
      async () => {
        const listener = await transport.listen(collecting().options);
        bench.defer(() => listener.close());
        const entry = { name: "webtransport", available: true, reason: "", url: listener.url, http };
        const certificateHashes = [hex((await transport.certificate()).hash)];
        const url = await nodeWith({ certificateHashes, transports: [entry] });
        const fixed = { ...programConnecting(environment), limits: SESSION_LIMITS };
        const { session, attempts } = await connect(url, { ...fixed, transports: ["webtransport", "websocket"] });
        expect([session.transport, attempts[0]?.outcome]).toEqual(["webtransport", "won"]);
        await session.close(END);
      },
    );
  }

  for (const transport of webTransports.slice(0, 2)) {
    const { name, backend: { http }, unsupported } = transport;
    test.skipIf(unsupported !== undefined)(`gives way to WebSocket where nothing comes back: ${name}`, async () => {
      const node = await bench.node({ transports: ["websocket"] });
      const silent = http === "h3" ? await silentUdp() : await silentTcp();
      const { port } = silent;
      const entry = { name: "webtransport", available: true, reason: "", url: `https://127.0.0.1:${port}`, http };
      const offer = { certificateHashes: [hex(own.hash)], transports: [entry] };
      const fetch = () => Promise.resolve(Response.json(offer));
      const memory = new ConnectMemory(environment.clock);
      const fixed = { ...programConnecting(environment), fetch, memory, limits: SESSION_LIMITS };
      const transports = ["webtransport", "websocket"] as const;
      for (const expected of [["webtransport overtaken", "websocket won"], ["websocket won"]]) {
        const { session, attempts } = await connect(node.url, { ...fixed, transports });
        expect(session.transport).toBe("websocket");
        expect(attempts.map(({ transport, outcome }) => `${transport} ${outcome}`)).toEqual(expected);
        await session.close(END);
      }
      await until(() => node.node.sessions.count === 0, "no session at the server");
      await until(() => silent.openCount() === 0, "the silent server has no connection any more");
    });
  }
});

interface Silent {
  readonly port: number;
  /** Connections that are still there, where that can be seen. */
  openCount(): number;
}

/** A UDP port from which nothing comes back. */
async function silentUdp(): Promise<Silent> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  bench.defer(() => socket.close());
  return { port: socket.address().port, openCount: () => 0 };
}

/** A TCP port that takes connections and says nothing. */
async function silentTcp(): Promise<Silent> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.resume();
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  bench.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, openCount: () => sockets.size };
}
