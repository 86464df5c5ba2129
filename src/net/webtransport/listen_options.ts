import type { ListenOptions, SessionListener } from "../listener.ts";

/** A certificate chain and its private key in PEM. */
export interface ListenerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** What is known of a peer when its session is judged. */
export interface SessionRequestInfo {
  /** "" where the backend does not tell. */
  readonly peerAddress: string;
  /** The page that asks, where the backend shows headers and the peer is a browser. */
  readonly origin?: string;
}

export interface WebTransportListenOptions extends ListenOptions {
  readonly certificate: ListenerCertificate;
  /** Judges a session by its URL, address and, where there are headers, origin; `undefined` accepts it. */
  readonly acceptSession: (url: URL, info: SessionRequestInfo) => { code: string; reason: string } | undefined;
}

/** A listener for WebTransport, on one UDP port (HTTP/3) or one TCP port (HTTP/2). */
export interface WebTransportListener extends SessionListener {
  /** What is below: HTTP/3 over UDP, which browsers speak, or HTTP/2 over TCP, which programs do. */
  readonly http: "h3" | "h2";
  readonly sessionCount: number;
  /**
   * New connections get `certificate` from now on; sessions that are open go on undisturbed. Where the backend cannot do that in
   * place, `port` and `url` are others afterwards and the old port goes on until its sessions are over.
   */
  replaceCertificate(certificate: ListenerCertificate): void | Promise<void>;
}
