// Certificates as node:tls takes and gives them.

import process from "node:process";
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContextOptions, type TLSSocket } from "node:tls";
import type { PeerCertificate, ServerIdentity } from "../tls_identity.ts";

/** What of an identity can change while a listener listens. @throws TypeError where it cannot be a server's */
export function serverContext(identity: ServerIdentity): SecureContextOptions {
  const { cert, key, ca, clientCertificates = "none" } = identity;
  if (clientCertificates !== "none" && !ca?.length) {
    throw new TypeError(`clientCertificates is "${clientCertificates}", which needs the authorities of clients in ca`);
  }
  const context = { cert, key, ...(ca ? { ca: [...ca] } : {}), minVersion: "TLSv1.3" as const };
  checkPair(identity);
  try {
    createSecureContext(context);
  } catch (cause) {
    throw new TypeError("the identity's certificate, key and authorities make no TLS server", { cause });
  }
  return context;
}

/** Deno takes the key of another certificate, and fails with the first client. */
function checkPair({ cert, key }: ServerIdentity): void {
  let isPair: boolean;
  try {
    isPair = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw new TypeError("the identity's certificate or key is no PEM of a certificate or private key", { cause });
  }
  if (!isPair) throw new TypeError("the identity's key is not the key of its certificate");
}

/** The certificate that the peer of a finished handshake has shown, good or bad; undefined where it has none. */
export function shownCertificate(socket: TLSSocket): PeerCertificate | undefined {
  return peerCertificateOf(socket.getPeerCertificate());
}

/** A certificate as node:tls describes it, or an X509Certificate of node:crypto. */
export interface DescribedCertificate {
  /** DER; absent where there is no certificate. */
  readonly raw?: Uint8Array;
  /** Its attributes by name, or one on each line. */
  readonly subject?: { readonly CN?: string | string[] } | string;
}

/** A certificate as sessions tell it; undefined where there is none. */
export function peerCertificateOf({ raw, subject }: DescribedCertificate): PeerCertificate | undefined {
  if (raw === undefined) return undefined;
  const fingerprint256 = createHash("sha256").update(raw).digest("hex");
  // A copy without Buffer's own methods, as everywhere in net/.
  return { commonName: commonNameOf(subject), fingerprint256, raw: new Uint8Array(raw) };
}

/** A subject may have several common names: the first one. */
function commonNameOf(subject: DescribedCertificate["subject"]): string {
  if (typeof subject === "string") return /^CN=(.*)$/m.exec(subject)?.[1] ?? "";
  return [subject?.CN ?? ""].flat()[0] ?? "";
}

/**
 * Whether a ticket of one listener is good at every other one of the process, and outlives a change of identity: Deno has one
 * key for all (https://github.com/denoland/deno/pull/33693), Bun and Node have one for each context.
 */
const SHARES_TICKETS = process.versions["deno"] !== undefined;

/** Whether a client was let in by a ticket whose certificate none of `authorities` would let in now. */
export function isOnForeignTicket(socket: TLSSocket, certificate: Uint8Array, authorities: readonly string[]): boolean {
  return SHARES_TICKETS && socket.isSessionReused() && !isIssuedBy(certificate, authorities);
}

/** Whether `certificate` (DER) is signed by one of `authorities` itself (PEM, each may hold several). */
export function isIssuedBy(certificate: Uint8Array, authorities: readonly string[]): boolean {
  const leaf = new X509Certificate(certificate);
  const blocks = authorities.flatMap((pem) =>
    pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  );
  return blocks.map((pem) => new X509Certificate(pem)).some((each) =>
    leaf.checkIssued(each) && leaf.verify(each.publicKey)
  );
}

/** Whether the certificate that the peer has shown is valid at `nowMs`. */
export function isCurrent(socket: TLSSocket, nowMs: number): boolean {
  const { valid_from, valid_to } = socket.getPeerCertificate();
  return Date.parse(valid_from) <= nowMs && nowMs <= Date.parse(valid_to);
}

/** A SHA-256 as 64 lower-case digits. @throws TypeError where it is none */
export function normalHash(hash: string): string {
  const digits = hash.replaceAll(":", "").toLowerCase();
  if (/^[0-9a-f]{64}$/.test(digits)) return digits;
  throw new TypeError(`a certificate hash is 64 hexadecimal digits, colons allowed, got "${hash}"`);
}
