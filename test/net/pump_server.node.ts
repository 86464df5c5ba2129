// The sending process of the pumps (pump.node.ts): `WHAT BYTES`, where WHAT is a transport and raw or session. Prints one line of JSON
// with where to connect, and sends BYTES in pieces of 64 KiB to each client.

import process from "node:process";
import { Admission, ADMISSION_LIMITS } from "../../src/net/admission.ts";
import { QueueBudget } from "../../src/net/queue_budget.ts";
import { Lane, type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import { HTTP_LIMITS } from "../../src/net/websocket/listen_options.ts";
import { environment } from "../../src/server/environment.node.ts";
import { selfSigned } from "./certificate.ts";
import { listenHttp } from "./http_listener.node.ts";
import { rawWebSocketPump } from "./pump_raw.bun.ts";
import { rawWebTransportPump } from "./pump_raw.deno.ts";

const PIECE_BYTES = 64 << 10;

async function pumpLane(session: Session, totalBytes: number): Promise<void> {
  const writer = session.lane(Lane.log).writable.getWriter();
  const piece = new Uint8Array(PIECE_BYTES);
  for (let at = 0; at < totalBytes; at += PIECE_BYTES) await writer.write(piece);
}

const common = {
  admission: new Admission({ limits: ADMISSION_LIMITS, clock: environment.clock }),
  budget: new QueueBudget(256 << 20),
  host: "127.0.0.1",
  port: 0,
  environment,
  acceptSession: () => undefined,
  onError: (error: unknown) => process.stderr.write(`${error}\n`),
};

const STARTS: Record<string, (totalBytes: number) => Promise<{ url: string; hash?: string }>> = {
  "websocket-raw": (totalBytes) => Promise.resolve(rawWebSocketPump(totalBytes, PIECE_BYTES)),
  "websocket-session": async (totalBytes) => {
    const { url } = await listenHttp({
      ...common,
      limits: { ...SESSION_LIMITS, ...HTTP_LIMITS },
      fetch: () => new Response(),
      onSession: (session) => void pumpLane(session, totalBytes).catch(() => {}),
    });
    return { url };
  },
  "webtransport-raw": async (totalBytes) => {
    const certificate = await selfSigned();
    return { url: rawWebTransportPump(certificate, totalBytes, PIECE_BYTES), hash: hex(certificate.hash) };
  },
  "webtransport-session": async (totalBytes) => {
    const { listenWebTransport } = await import("../../src/net/webtransport/listen.deno.ts");
    const certificate = await selfSigned();
    const onSession = (session: Session) => void pumpLane(session, totalBytes).catch(() => {});
    const { url } = await listenWebTransport({ ...common, limits: SESSION_LIMITS, certificate, onSession });
    return { url, hash: hex(certificate.hash) };
  },
};

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const [what = "", totalBytes = "0"] = process.argv.slice(2);
process.stdout.write(`${JSON.stringify(await STARTS[what]!(Number(totalBytes)))}\n`);
