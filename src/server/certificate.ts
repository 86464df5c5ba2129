// Self-signed certificates for WebTransport: browsers accept them by hash if they are ECDSA P-256 and valid for at most
// fourteen days (https://w3c.github.io/webtransport/#certificate-hashes).

import "reflect-metadata";
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import type { Random } from "../core/environment.ts";
import { hostName } from "../peer/authority.ts";
import { KEY_ALGORITHM, makeKeyPair, privateKeyPem, serialNumber } from "../peer/key_pair.ts";
import { isLoopback } from "../schema/config.ts";

const DAY_MS = 86_400_000;
export const CERTIFICATE_VALIDITY_MS = 13 * DAY_MS;
/** Clocks of browsers may be behind ours by this much. */
const BACKDATE_MS = DAY_MS / 2;

/** A certificate with its key, as it is kept on disk. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the DER certificate, hexadecimal. */
  readonly hash: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface CertificateOptions {
  /** When it is first used, ms since 1970. */
  readonly from: number;
  /** Names and addresses by which clients reach the node. */
  readonly hosts: readonly string[];
  readonly random: Random;
}

/** Makes a new key and a certificate for it, valid from half a day before `from` for thirteen days in all. */
export async function makeCertificate({ from, hosts, random }: CertificateOptions): Promise<Certificate> {
  const keys = await makeKeyPair();
  const notBefore = from - BACKDATE_MS;
  const notAfter = notBefore + CERTIFICATE_VALIDITY_MS;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(random),
    name: "CN=millrace",
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    keys,
    signingAlgorithm: KEY_ALGORITHM,
    extensions: [new SubjectAlternativeNameExtension(hosts.map(hostName))],
  });
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", certificate.rawData)).toHex();
  return { cert: certificate.toString("pem"), key: await privateKeyPem(keys), hash, notBefore, notAfter };
}

/** When `certificate` was meant to be used first. */
export function firstUse({ notBefore }: Certificate): number {
  return notBefore + BACKDATE_MS;
}

/** Names for a node that listens on `host`. */
export function certificateHosts(host: string, others: readonly string[]): string[] {
  return [...new Set([...(isLoopback(host) ? ["localhost", "127.0.0.1", "::1"] : []), host, ...others])];
}
