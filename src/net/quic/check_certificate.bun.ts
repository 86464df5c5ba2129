import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { normalHash } from "../tls/identity.node.ts";
import type { ClientIdentity } from "../tls_identity.ts";
import { TransportError } from "../transport_error.ts";

export interface ShownCertificate {
  readonly certificate: X509Certificate | undefined;
  /** Why the certificate's chain does not end at an authority that is trusted; empty where it does. */
  readonly chainError: string | undefined;
  /** Host of the address. */
  readonly host: string;
  /** Wall clock, ms since 1970. */
  readonly nowMs: number;
}

/**
 * Judges a server by its certificate: one of the hashes where there are any, else a trusted chain and the right name. The runtime
 * does not do it: it takes no hashes, and the address of a host that is not a name never matches (Bun 1.4.5).
 *
 * @throws TransportError `refused` for a server that is not the one meant.
 */
export function checkCertificate(
  { certificate, chainError, host, nowMs }: ShownCertificate,
  { certificateHashes = [], serverName = host }: ClientIdentity,
): void {
  const refuse = (what: string) => {
    throw new TransportError("refused", `the certificate of ${host} is not trusted: ${what}`);
  };
  if (certificate === undefined) return refuse("none was shown");
  if (certificateHashes.length > 0) {
    const hash = normalHash(certificate.fingerprint256);
    if (!certificateHashes.map(normalHash).includes(hash)) {
      refuse(`its SHA-256 is ${hash}, which is not among those given`);
    }
    if (Date.parse(certificate.validTo) < nowMs) refuse(`it ended ${certificate.validTo}`);
    if (Date.parse(certificate.validFrom) > nowMs) refuse(`it begins ${certificate.validFrom}`);
    return;
  }
  if (chainError) refuse(chainError);
  const isNamed = isIP(serverName) ? certificate.checkIP(serverName) : certificate.checkHost(serverName);
  if (isNamed === undefined) refuse(`it is for ${certificate.subjectAltName ?? "nobody"}, not for ${serverName}`);
}
