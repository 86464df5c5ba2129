// Everything the page knows about the chosen channel at one moment: what the node says, what this tab's copy says.

import type { ReplicaStatus } from "../replica.ts";
import type { ChannelDetail } from "./api.ts";
import type { ChainVerdict } from "./chain_check.ts";

export interface ChannelState {
  readonly name: string;
  /** Undefined until the copy is open. */
  readonly copy: ReplicaStatus | undefined;
  /** The node's latest answer, which may be some seconds old; undefined before the first. */
  readonly detail: ChannelDetail | undefined;
  readonly verdict: ChainVerdict;
  readonly entriesPerSecond: number;
  /** The node did not answer when the page last asked it over HTTP. */
  readonly isNodeAway: boolean;
  /** Why the copy does not go on; empty while it does. */
  readonly failure: string;
}

export type Health = "good" | "busy" | "bad";

export interface Connection {
  readonly health: Health;
  /** A word or two. */
  readonly label: string;
  /** What is behind it, if there is more to say. */
  readonly detail: string;
}

const TRANSPORTS: Readonly<Record<string, string>> = { webtransport: "WebTransport", websocket: "WebSocket" };

export function transportName(transport: string | null): string {
  return transport === null ? "none" : TRANSPORTS[transport] ?? transport;
}

/** How this tab's copy is fed, in words. */
export function connectionOf({ copy, failure, isNodeAway }: ChannelState): Connection {
  if (failure !== "") return { health: "bad", label: "Stopped", detail: failure };
  if (copy === undefined) return { health: "busy", label: "Opening", detail: "" };
  if (copy.connection === "connected") {
    if (copy.reason !== "") return { health: "busy", label: "Waiting", detail: copy.reason };
    // A crashed node sends no goodbye: the session is given up when its timeout is over.
    if (isNodeAway) return { health: "busy", label: "Silent", detail: "The node does not answer; the session waits." };
    return { health: "good", label: "Live", detail: "" };
  }
  if (copy.connection === "closed") return { health: "bad", label: "Closed", detail: copy.reason };
  const detail = copy.reason === "" ? "" : `${copy.reason}. It is tried again, and resumes where it was.`;
  return { health: "busy", label: copy.connection === "waiting" ? "Reconnecting" : "Connecting", detail };
}
