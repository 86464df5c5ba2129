import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ClientIdentity, ServerIdentity } from "../../../src/net/tls_identity.ts";
import type { RuntimeName } from "../../process/program.ts";
import type { QuicPeerReport } from "./quic_peer.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SCRIPT = fileURLToPath(new URL("quic_peer.ts", import.meta.url));

export interface QuicPeersOptions {
  readonly server: RuntimeName;
  readonly client: RuntimeName;
  readonly identities: { readonly server: ServerIdentity; readonly client: ClientIdentity };
}

/** Runs a session between two processes; answers what each printed of it, the server only where it had a session. */
export async function runQuicPeers({ server, client, identities }: QuicPeersOptions) {
  const listening = spawnPeer(server, ["listen", JSON.stringify(identities.server)]);
  try {
    const listeningLines = lines(listening);
    const { url } = JSON.parse((await listeningLines.next()).value!) as { url: string };
    const connecting = spawnPeer(client, ["connect", url, JSON.stringify(identities.client)]);
    const report = JSON.parse((await lines(connecting).next()).value!) as QuicPeerReport;
    if (report.failure !== undefined) return { client: report, server: undefined };
    return { client: report, server: JSON.parse((await listeningLines.next()).value!) as QuicPeerReport };
  } finally {
    listening.kill("SIGKILL");
  }
}

function spawnPeer(runtime: RuntimeName, args: string[]): ChildProcess {
  const run = runtime === "deno" ? ["run", "-A", "--no-check", "--unstable-net", SCRIPT] : [SCRIPT];
  return spawn(`${ROOT}node_modules/.bin/${runtime}`, [...run, ...args], { stdio: ["ignore", "pipe", "ignore"] });
}

async function* lines({ stdout }: ChildProcess): AsyncGenerator<string, undefined> {
  let text = "";
  for await (const piece of stdout!) {
    text += piece;
    for (let end; (end = text.indexOf("\n")) >= 0; text = text.slice(end + 1)) yield text.slice(0, end);
  }
  throw new Error(`a peer ended after "${text}"`);
}
