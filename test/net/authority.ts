// A certificate authority for tests: it issues what servers and clients show each other, good and bad.

import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { SelfSigned } from "./certificate.ts";

const HOUR_MS = 3_600_000;
const VALIDITY_MS = 12 * 24 * HOUR_MS;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const LOCAL_HOSTS = ["localhost", "127.0.0.1", "::1"];

export interface TestAuthority {
  /** The authority's own certificate, PEM. */
  readonly ca: string;
  /** A certificate signed by this authority, with its key; `hash` is the SHA-256 of its DER. */
  issue(options?: IssueOptions): Promise<SelfSigned>;
}

export interface IssueOptions {
  /** Common name. Default `localhost`. */
  readonly cn?: string;
  /** Names and addresses it stands for. Default loopback's; a client's certificate has none. */
  readonly hosts?: readonly string[];
  /** What it may be used for. Default `both`. */
  readonly usage?: "server" | "client" | "both";
  /** Default an hour ago. */
  readonly notBefore?: Date;
  /** Default twelve days after `notBefore`: short enough for WebTransport's certificate hashes. */
  readonly notAfter?: Date;
}

/** Makes a new authority; two of the same name are strangers to each other all the same. ECDSA P-256 throughout. */
export async function testAuthority({ name }: { readonly name: string }): Promise<TestAuthority> {
  const keys = await makeKeys();
  const notBefore = new Date(Date.now() - HOUR_MS);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${name}`,
    notBefore,
    notAfter: new Date(notBefore.getTime() + VALIDITY_MS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { ca: certificate.toString("pem"), issue: (options = {}) => issue({ certificate, keys }, options) };
}

interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly keys: CryptoKeyPair;
}

async function issue(issuer: Issuer, options: IssueOptions): Promise<SelfSigned> {
  const { cn = "localhost", usage = "both" } = options;
  const { hosts = usage === "client" ? [] : LOCAL_HOSTS, notBefore = new Date(Date.now() - HOUR_MS) } = options;
  const keys = await makeKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${cn}`,
    issuer: issuer.certificate.subject,
    notBefore,
    notAfter: options.notAfter ?? new Date(notBefore.getTime() + VALIDITY_MS),
    publicKey: keys.publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(PURPOSES[usage]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey),
      ...(hosts.length > 0 ? [new x509.SubjectAlternativeNameExtension(hosts.map(alternativeName))] : []),
    ],
  });
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", certificate.rawData));
  return { cert: certificate.toString("pem"), key, hash };
}

const PURPOSES = {
  server: [x509.ExtendedKeyUsage.serverAuth],
  client: [x509.ExtendedKeyUsage.clientAuth],
  both: [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth],
};

function alternativeName(host: string): x509.JsonGeneralName {
  const isAddress = host.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(host);
  return { type: isAddress ? "ip" : "dns", value: host };
}

async function makeKeys(): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]) as CryptoKeyPair;
}

/** Sixteen bytes whose first bit is clear, since the number is signed and must be positive. */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = bytes[0]! & 0x7f | 0x01;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
