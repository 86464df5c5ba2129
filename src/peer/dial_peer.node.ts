// How a node opens a session to another one, and how it knows which certificate the other end has shown.

import type { Environment } from "../core/environment.ts";
import { connect } from "../net/connect/connect.ts";
import type { Dialer, Dialers, NetworkTransport } from "../net/connect/dialer.ts";
import { programConnecting } from "../net/connect/program_dialers.node.ts";
import { showsQuicServerCertificate } from "../net/quic/quic.node.ts";
import type { Session, SessionLimits } from "../net/session.ts";
import type { ClientIdentity } from "../net/tls_identity.ts";
import { TransportError } from "../net/transport_error.ts";
import { askServerHash } from "./ask_server_hash.ts";
import type { DialedSession } from "./mesh.ts";
import { PeerError } from "./peer_error.ts";

/** In the order in which they are tried where the address leaves it open. */
const OVER_TLS: readonly NetworkTransport[] = ["websocket", "tls", "quic", "webtransport"];
const TRANSPORTS: readonly NetworkTransport[] = [...OVER_TLS, "tcp"];

export interface DialPeerOptions {
  /** Whom to trust and what to show; absent in a cluster without certificates, which is for loopback only. */
  readonly identity?: ClientIdentity;
  readonly limits: SessionLimits;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/** Hashes of the certificates by which sessions were trusted whose transport does not tell them. */
type Pins = WeakMap<Session, string>;

/**
 * Opens a session to the node at `url`. TransportError as `connect` throws it; PeerError `unsupported` where there are
 * certificates and the other end's cannot be known; TypeError for an address that means nothing; the signal's reason on abort.
 */
export async function dialPeer(url: string, options: DialPeerOptions): Promise<DialedSession> {
  const { identity, environment, limits, signal } = options;
  const pins: Pins = new WeakMap();
  const connecting = programConnecting(environment, identity);
  const { session } = await connect(url, {
    ...connecting,
    dialers: peerDialers(connecting.dialers!, { pins, needsCertificate: identity !== undefined }),
    // A peer that is reached over TLS may not talk this node into doing without.
    transports: identity ? OVER_TLS : TRANSPORTS,
    limits,
    signal,
  });
  const hash = pins.get(session) ?? session.peerCertificate?.fingerprint256 ?? "";
  if (identity && hash === "") {
    const reason = `${url} by ${session.transport} shows no certificate here that a proof could be bound to`;
    void session.close({ code: "unsupported", reason });
    throw new PeerError("unsupported", reason);
  }
  return { session, serverHash: Uint8Array.fromHex(hash) };
}

function peerDialers(
  dialers: Dialers,
  { pins, needsCertificate }: { pins: Pins; needsCertificate: boolean },
): Dialers {
  const { quic, webtransport } = dialers;
  return {
    ...dialers,
    ...(quic && needsCertificate && !showsQuicServerCertificate() ? { quic: askingFirst(quic, pins) } : {}),
    ...(webtransport ? { webtransport: onePinAtATime(webtransport, pins) } : {}),
  };
}

/**
 * Asks the node for its certificate on a session that is used for nothing else, and takes that one and no other in the next session:
 * what the proof is bound to then is what this end has seen, whoever has answered.
 */
function askingFirst(quic: Dialer, pins: Pins): Dialer {
  return {
    ...quic,
    dial: async (target, options) => {
      const hash = await askServerHash(await quic.dial(target, options), options);
      const session = await quic.dial({ ...target, certificateHashes: [hash] }, options);
      pins.set(session, hash);
      return session;
    },
  };
}

/**
 * WebTransport does not tell the certificate, so it is trusted by one hash at a time: that one it is. Without `capability` its code
 * is loaded when its turn comes, not by every node for each of its peers.
 */
function onePinAtATime({ httpVersions, dial }: Dialer, pins: Pins): Dialer {
  return {
    ...(httpVersions ? { httpVersions } : {}),
    dial: async (target, options) => {
      let failure = new TransportError("refused", `${target.url} announces no certificate`);
      for (const hash of target.certificateHashes) {
        try {
          const session = await dial({ ...target, certificateHashes: [hash] }, options);
          pins.set(session, hash.replaceAll(":", "").toLowerCase());
          return session;
        } catch (error) {
          options.signal.throwIfAborted();
          if (!(error instanceof TransportError)) throw error;
          failure = error;
        }
      }
      throw failure;
    },
  };
}
