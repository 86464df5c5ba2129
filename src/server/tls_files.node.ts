// Certificate, key and authorities of a node, from the files that its configuration names.

import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Clock } from "../core/environment.ts";
import type { ServerIdentity } from "../net/tls_identity.ts";
import { type CertificateFacts, certificateFacts } from "../peer/certificate_facts.ts";
import { type PeerProofMeans, proofMeans } from "../peer/peer_identity.ts";
import { Trust } from "../peer/trust.ts";
import type { CertificateStatus } from "../schema/api.ts";
import type { NodeConfig } from "../schema/config.ts";

/** What is left of a certificate's life when it is time to renew it. */
const RENEW_SHARE = 1 / 3;
const DAY_MS = 86_400_000;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export interface TlsFiles {
  /** For the listeners. */
  readonly identity: ServerIdentity;
  /** For the peers; absent without `ca`. */
  readonly proof?: PeerProofMeans;
  readonly facts: CertificateFacts;
  /** Whose certificates are accepted; none without `ca`. */
  readonly authorities: readonly CertificateFacts[];
}

/** Reads them. Undefined where there are none. @throws RangeError naming the field and the file that cannot be used. */
export async function readTlsFiles(config: NodeConfig, clock: Clock): Promise<TlsFiles | undefined> {
  const { tlsCert, tlsKey, ca, clientCertificates = "none" } = config;
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const [cert, key] = [await read("tlsCert", tlsCert), await read("tlsKey", tlsKey)];
  const facts = await using("tlsCert", tlsCert, () => certificateFacts(cert));
  if (facts.notAfter <= clock.now()) throw new RangeError(`tlsCert: ${tlsCert} expired at ${iso(facts.notAfter)}`);
  if (facts.notBefore > clock.now()) throw new RangeError(`tlsCert: ${tlsCert} is valid from ${iso(facts.notBefore)}`);
  await using("tlsKey", tlsKey, () => checkPair(cert, key));
  if (ca === undefined) return { identity: { cert, key }, facts, authorities: [] };
  // One by one: where files were joined without a line end between them, TLS would find none at all.
  const blocks = (await read("ca", ca)).match(PEM_CERTIFICATE) ?? [];
  const trust = await using("ca", ca, () => new Trust({ authorities: blocks, now: () => clock.now() }));
  const proof = await using("tlsKey", tlsKey, () => proofMeans({ cert, key }, trust));
  const authorities = await Promise.all(blocks.map((each) => certificateFacts(each)));
  return { identity: { cert, key, ca: blocks, clientCertificates }, proof, facts, authorities };
}

/** What people are told of the certificate in use. */
export function certificateStatus({ facts, authorities }: TlsFiles, nowMs: number): CertificateStatus {
  const { name, issuer, hosts, notBefore, notAfter, hash } = facts;
  return {
    name,
    issuer,
    hosts: [...hosts],
    notBefore: iso(notBefore),
    notAfter: iso(notAfter),
    daysLeft: Math.floor((notAfter - nowMs) / DAY_MS),
    hash,
    warning: renewalWarning(facts, nowMs) ?? null,
    authorities: authorities.map((each) => ({ name: each.name, notAfter: iso(each.notAfter), hash: each.hash })),
  };
}

/** Whether both show the same certificate and believe the same authorities. */
export function isSameIdentity(a: ServerIdentity, b: ServerIdentity): boolean {
  return a.cert === b.cert && a.key === b.key && a.ca?.join() === b.ca?.join();
}

/** Says when the certificate should be renewed, once a third of its life is left; undefined before. */
export function renewalWarning({ name, notBefore, notAfter }: CertificateFacts, nowMs: number): string | undefined {
  const leftMs = notAfter - nowMs;
  if (leftMs > (notAfter - notBefore) * RENEW_SHARE) return undefined;
  const days = Math.max(0, leftMs / DAY_MS).toFixed(1);
  return `the certificate of ${name} expires at ${iso(notAfter)}, in ${days} days: renew it`;
}

/** A pair that is none is found here, before any listener has taken half of it. */
function checkPair(cert: string, key: string): void {
  if (new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return;
  throw new TypeError("the private key is not the one of the certificate");
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

async function read(field: string, path: string): Promise<string> {
  return await using(field, path, () => readFile(path, "utf8"));
}

async function using<Value>(field: string, path: string, use: () => Value | Promise<Value>): Promise<Value> {
  try {
    return await use();
  } catch (cause) {
    throw new RangeError(`${field}: ${path} cannot be used: ${(cause as Error).message}`, { cause });
  }
}
