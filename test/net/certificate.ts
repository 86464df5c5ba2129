import "reflect-metadata";
import * as x509 from "@peculiar/x509";

const DAY_MS = 86_400_000;

/** A certificate as WebTransport takes it by hash: self-signed, ECDSA P-256, valid for less than two weeks. */
export interface SelfSigned {
  readonly cert: string;
  readonly key: string;
  readonly hash: Uint8Array;
}

export async function selfSigned(): Promise<SelfSigned> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=localhost",
    notBefore: new Date(Date.now() - DAY_MS / 24),
    notAfter: new Date(Date.now() + 12 * DAY_MS),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "localhost" }, {
        type: "ip",
        value: "127.0.0.1",
      }]),
    ],
  });
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", certificate.rawData));
  return { cert: certificate.toString("pem"), key, hash };
}
