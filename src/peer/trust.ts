// Whom a node takes for whom: a certificate counts if an authority of the cluster has signed it, it is valid now, and it names
// a node on the allow-list.

import type { X509Certificate } from "@peculiar/x509";
import { type CertificateFacts, certificateFacts, parseCertificate } from "./certificate_facts.ts";

/** Why a peer is not believed. All of them are permanent until somebody changes a configuration or a certificate. */
export type DistrustCode =
  | "no-certificate"
  | "bad-certificate"
  | "foreign-authority"
  | "certificate-expired"
  | "certificate-not-yet-valid"
  | "not-a-node"
  | "wrong-id"
  | "not-allowed";

export class DistrustError extends Error {
  override name = "DistrustError";
  readonly code: DistrustCode;

  constructor(code: DistrustCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export interface TrustOptions {
  /** Authorities of the cluster, PEM; during a rotation two. */
  readonly authorities: readonly string[];
  /** Node ids that may join; undefined for every node of the cluster. */
  readonly allowed?: ReadonlySet<string>;
  /** Wall clock, ms since 1970. */
  readonly now: () => number;
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export class Trust {
  readonly #options: TrustOptions;
  readonly #authorities: readonly X509Certificate[];

  /** @throws TypeError where an authority is no certificate. */
  constructor(options: TrustOptions) {
    this.#options = options;
    this.#authorities = options.authorities.flatMap((pem) => pem.match(PEM_CERTIFICATE) ?? []).map(parseCertificate);
    if (this.#authorities.length === 0) throw new TypeError("there is no certificate among the authorities");
  }

  /** The facts of `certificate` (DER) if it proves its bearer, once it is shown to have the key, to be node `id`. */
  async check(certificate: Uint8Array, id: string): Promise<CertificateFacts> {
    if (certificate.byteLength === 0) throw new DistrustError("no-certificate", `node ${id} shows no certificate`);
    const { facts, parsed } = await this.#read(certificate, id);
    if (!await this.#isIssuedHere(parsed)) {
      throw new DistrustError("foreign-authority", `the certificate of ${id} is issued by ${facts.issuer}, not by us`);
    }
    const now = this.#options.now();
    const iso = (ms: number) => new Date(ms).toISOString();
    if (now > facts.notAfter) {
      throw new DistrustError("certificate-expired", `the certificate of ${id} expired at ${iso(facts.notAfter)}`);
    }
    if (now < facts.notBefore) {
      const message = `the certificate of ${id} is valid from ${iso(facts.notBefore)}`;
      throw new DistrustError("certificate-not-yet-valid", message);
    }
    if (facts.kind !== "node") {
      throw new DistrustError("not-a-node", `${id} shows the certificate of ${facts.kind} ${facts.name}`);
    }
    if (facts.name !== id) {
      throw new DistrustError("wrong-id", `${id} shows the certificate of node ${facts.name}`);
    }
    if (this.#options.allowed?.has(id) === false) {
      throw new DistrustError("not-allowed", `node ${id} is not on the list of peers`);
    }
    return facts;
  }

  async #read(certificate: Uint8Array, id: string): Promise<{ facts: CertificateFacts; parsed: X509Certificate }> {
    try {
      return { facts: await certificateFacts(certificate), parsed: parseCertificate(certificate) };
    } catch (cause) {
      throw new DistrustError("bad-certificate", `what ${id} shows is no certificate`, { cause });
    }
  }

  async #isIssuedHere(certificate: X509Certificate): Promise<boolean> {
    for (const authority of this.#authorities) {
      if (certificate.issuer !== authority.subject) continue;
      const isOurs = await certificate.verify({ publicKey: authority, signatureOnly: true }).catch(() => false);
      if (isOurs) return true;
    }
    return false;
  }
}
