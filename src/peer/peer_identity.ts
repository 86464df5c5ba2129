import { parseCertificate } from "./certificate_facts.ts";
import { privateKeyOfPem } from "./key_pair.ts";
import type { Trust } from "./trust.ts";

/** What a node can prove, and whom it believes. Replaced as a whole when certificates change. */
export interface PeerProofMeans {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly key: CryptoKey;
  readonly trust: Trust;
}

/** Who a node is among its peers. */
export interface PeerIdentity {
  readonly id: string;
  /** Made anew at each start. */
  readonly instance: string;
  readonly clusterId: string;
  /** Software and runtime, for people. */
  readonly agent: string;
  /** Absent in a cluster without certificates, which is for loopback only. */
  readonly proof?: PeerProofMeans;
}

/** Reads certificate and key of a node from PEM. @throws TypeError where one is not what it should be or they do not belong together. */
export async function proofMeans(files: { cert: string; key: string }, trust: Trust): Promise<PeerProofMeans> {
  const certificate = parseCertificate(files.cert);
  const key = await privateKeyOfPem(files.key);
  const probe = new TextEncoder().encode("this key belongs to this certificate");
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const signature = await crypto.subtle.sign(algorithm, key, probe);
  const publicKey = await certificate.publicKey.export({ name: "ECDSA", namedCurve: "P-256" }, ["verify"]);
  if (!await crypto.subtle.verify(algorithm, publicKey, signature, probe)) {
    throw new TypeError("the private key is not the one of the certificate");
  }
  return { certificate: new Uint8Array(certificate.rawData), key, trust };
}
