// Self-signed certificates for WebTransport: browsers accept them by hash if they are ECDSA P-256 and valid for at most
// fourteen days (https://w3c.github.io/webtransport/#certificate-hashes).

import "reflect-metadata";
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import type { Random } from "../core/environment.ts";
import { isLoopback } from "../schema/config.ts";

const DAY_MS = 86_400_000;
export const CERTIFICATE_VALIDITY_MS = 13 * DAY_MS;
/** Clocks of browsers may be behind ours by this much. */
const BACKDATE_MS = DAY_MS / 2;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

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
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const notBefore = from - BACKDATE_MS;
  const notAfter = notBefore + CERTIFICATE_VALIDITY_MS;
  const names = hosts.map((host) => ({ type: isAddress(host) ? "ip" as const : "dns" as const, value: host }));
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: hex(random.bytes(16).map((byte, index) => index === 0 ? byte & 0x7f : byte)),
    name: "CN=millrace",
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [new SubjectAlternativeNameExtension(names)],
  });
  const hash = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", certificate.rawData)));
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    cert: certificate.toString("pem"),
    key: pem("PRIVATE KEY", new Uint8Array(pkcs8)),
    hash,
    notBefore,
    notAfter,
  };
}

/** When `certificate` was meant to be used first. */
export function firstUse({ notBefore }: Certificate): number {
  return notBefore + BACKDATE_MS;
}

/** Names for a node that listens on `host`. */
export function certificateHosts(host: string, others: readonly string[]): string[] {
  return [...new Set([...(isLoopback(host) ? ["localhost", "127.0.0.1", "::1"] : []), host, ...others])];
}

function isAddress(host: string): boolean {
  return host.includes(":") || /^[0-9.]+$/.test(host);
}

function hex(bytes: Uint8Array): string {
  return bytes.toHex();
}

function pem(label: string, der: Uint8Array): string {
  const lines = der.toBase64().match(/.{1,64}/g)!.join("\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
