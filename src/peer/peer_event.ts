import type { TransportName } from "../net/session.ts";

/** What happens between this node and one of its peers. */
export type PeerEvent =
  | { readonly event: "connecting"; readonly peerId: string; readonly attempt: number }
  | {
    readonly event: "connected";
    readonly peerId: string;
    readonly address: string;
    readonly transport: TransportName;
  }
  | { readonly event: "disconnected"; readonly peerId: string; readonly code: string; readonly reason: string }
  | {
    readonly event: "connectFailed";
    readonly peerId: string;
    /** `permanent`: not tried again before a configuration changes. */
    readonly kind: "transient" | "permanent";
    readonly code: string;
    readonly detail: string;
    readonly retryInMs: number | null;
  };

/** How often each has happened since the node started. */
export type PeerEventCounts = Record<PeerEvent["event"], number>;
