// Certificates as the transports take them, all in PEM.

/** What a server proves itself with, and whom it lets in. */
export interface ServerIdentity {
  /** Certificate chain, the server's own first. */
  readonly cert: string;
  readonly key: string;
  /** Authorities whose client certificates are accepted. */
  readonly ca?: readonly string[];
  /** Whether a client must show a certificate of `ca` (mutual TLS). Default `none`. Without `ca` only `none` is allowed. */
  readonly clientCertificates?: ClientCertificates;
}

/** `request`: a client may come without one, but one that it shows must be good. */
export type ClientCertificates = "none" | "request" | "require";

/** Whom a client trusts, and what it proves itself with. */
export interface ClientIdentity {
  /** Authorities to trust instead of the runtime's own. */
  readonly ca?: readonly string[];
  /** SHA-256 of certificates to trust, whoever issued them; hexadecimal, colons allowed. */
  readonly certificateHashes?: readonly string[];
  /** The client's own certificate chain and key, for mutual TLS. */
  readonly cert?: string;
  readonly key?: string;
  /** Name that the server's certificate must have, where it is not the host of the address. */
  readonly serverName?: string;
}

/** The certificate by which a peer was believed, its key held by the peer. */
export interface PeerCertificate {
  /** Common name of its subject; "" where it has none. */
  readonly commonName: string;
  /** SHA-256 of `raw`: 64 lower-case hexadecimal digits. */
  readonly fingerprint256: string;
  /** The certificate itself, DER. */
  readonly raw: Uint8Array;
}
