// What a certificate says of its bearer. Names of nodes and clients are kept apart by a URI among the alternative names, so
// that a client that calls itself like a node is not one.

import "reflect-metadata";
import {
  BasicConstraintsExtension,
  type JsonGeneralName,
  SubjectAlternativeNameExtension,
  X509Certificate,
} from "@peculiar/x509";

export type BearerKind = "authority" | "node" | "client" | "other";

const URI_SCHEME = "millrace:";

export interface CertificateFacts {
  readonly kind: BearerKind;
  /** Node id, name of the client, or common name. */
  readonly name: string;
  readonly issuer: string;
  /** Host names and addresses it stands for. */
  readonly hosts: readonly string[];
  /** ms since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SHA-256 of the DER certificate, hexadecimal. */
  readonly hash: string;
}

/** The alternative name that makes a certificate one of a node or of a client. */
export function bearerUri(kind: "node" | "client", name: string): string {
  return `${URI_SCHEME}${kind}:${name}`;
}

/** Reads a certificate. @throws TypeError where it is none. */
export async function certificateFacts(certificate: string | Uint8Array): Promise<CertificateFacts> {
  const parsed = parseCertificate(certificate);
  const names = parsed.getExtension(SubjectAlternativeNameExtension)?.names.toJSON() ?? [];
  const bearer = names.map(bearerOf).find((each) => each !== undefined);
  const isAuthority = parsed.getExtension(BasicConstraintsExtension)?.ca === true;
  const commonName = parsed.subjectName.getField("CN")[0] ?? "";
  return {
    ...(bearer ?? { kind: isAuthority ? "authority" as const : "other" as const, name: commonName }),
    issuer: parsed.issuerName.getField("CN")[0] ?? parsed.issuer,
    hosts: names.filter(({ type }) => type === "dns" || type === "ip").map(({ value }) => value),
    notBefore: parsed.notBefore.getTime(),
    notAfter: parsed.notAfter.getTime(),
    hash: new Uint8Array(await crypto.subtle.digest("SHA-256", parsed.rawData)).toHex(),
  };
}

/** The first certificate of a PEM file, or one in DER. @throws TypeError where it is none. */
export function parseCertificate(certificate: string | Uint8Array): X509Certificate {
  try {
    return new X509Certificate(typeof certificate === "string" ? certificate : certificate.slice());
  } catch (cause) {
    throw new TypeError("this is no X.509 certificate", { cause });
  }
}

function bearerOf({ type, value }: JsonGeneralName): { kind: "node" | "client"; name: string } | undefined {
  const match = type === "url" ? /^millrace:(node|client):(.+)$/.exec(value) : null;
  return match ? { kind: match[1] as "node" | "client", name: match[2]! } : undefined;
}
