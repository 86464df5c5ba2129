// One end of a QUIC session in a process of its own, for tests between runtimes. Both ends send a MiB of the pattern on every lane
// and check what comes.
//
//   quic_peer.ts listen '{"cert", "key", "ca"?, "clientCertificates"?}'    prints its URL, then the end of its session
//   quic_peer.ts connect URL '{"ca", "cert"?, "key"?}'                     prints the end of its session

import process from "node:process";
import { Lane, LANES, type Session, SESSION_LIMITS, type SessionEnd } from "../../../src/net/session.ts";
import { connectQuic, listenQuic } from "../../../src/net/quic/quic.node.ts";
import { environment, holdProcess } from "../../../src/server/environment.node.ts";
import { pattern, readPattern, writePattern } from "../lane_bytes.ts";
import { collecting } from "../transports/transport_under_test.ts";
import { within } from "../wait.ts";

const LANE_BYTES = 1 << 20;

/** What a peer prints when its session is over. */
export interface QuicPeerReport {
  readonly end: SessionEnd;
  readonly failure: string | undefined;
  readonly datagram: boolean;
  readonly peerCertificate: string | undefined;
}

/** One byte more goes from server to client on control, when the server has read everything: the client closes then. */
async function exchange(session: Session): Promise<void> {
  const extra = (lane: Lane) => session.side === "client" && lane === Lane.control ? 1 : 0;
  await Promise.all(LANES.flatMap((lane) => [
    writePattern(session.lane(lane), LANE_BYTES, () => 50_000),
    readPattern(session.lane(lane), LANE_BYTES + extra(lane)),
  ]));
}

async function receivesDatagram(session: Session): Promise<boolean> {
  // One may get lost, and the peer may be ready later.
  const repeat = setInterval(() => session.datagrams.send(pattern(5, 90)), 20);
  session.closed.then(() => clearInterval(repeat));
  try {
    const { value } = await within(session.datagrams.readable.getReader().read(), "a datagram");
    return value?.byteLength === 90;
  } catch {
    return false;
  }
}

async function run(session: Session): Promise<void> {
  let failure: string | undefined;
  const datagram = receivesDatagram(session);
  try {
    await Promise.all([exchange(session), datagram]);
    if (session.side === "client") await session.close({ code: "done", reason: "all was read für alle" });
    else await session.lane(Lane.control).writable.getWriter().write(pattern(LANE_BYTES, 1));
  } catch (error) {
    failure = String(error);
    await session.close({ code: "failed", reason: failure });
  }
  const end = await session.closed;
  const peerCertificate = session.peerCertificate?.commonName;
  tell({ end, failure, datagram: await datagram, peerCertificate } satisfies QuicPeerReport);
}

function tell(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

async function listen(identity: string): Promise<void> {
  const { options } = collecting();
  const listener = await listenQuic({
    ...options,
    identity: JSON.parse(identity),
    onSession: (session) => run(session).then(() => listener.close()).then(release),
  });
  tell({ url: listener.url });
}

async function connect(url: string, identity: string): Promise<void> {
  await run(await connectQuic({ url, identity: JSON.parse(identity), limits: SESSION_LIMITS, environment }));
  release();
}

const release = holdProcess();
const [mode, ...rest] = process.argv.slice(2);
try {
  if (mode === "listen") await listen(rest[0]!);
  else await connect(rest[0]!, rest[1]!);
} catch (error) {
  release();
  tell({ end: { code: "none", reason: String(error), by: "local" }, failure: String(error), datagram: false });
}
