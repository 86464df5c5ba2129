// The certificate authority of a cluster: it issues what nodes and clients prove themselves with. Everything is ECDSA P-256;
// nothing outside this process is needed.

import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { Clock, Random } from "../core/environment.ts";
import { bearerUri, certificateFacts, parseCertificate } from "./certificate_facts.ts";
import { KEY_ALGORITHM, makeKeyPair, privateKeyOfPem, privateKeyPem, serialNumber } from "./key_pair.ts";

const DAY_MS = 86_400_000;
/** Clocks of other machines may be behind by this much. */
const BACKDATE_MS = 3_600_000;

export const AUTHORITY_DAYS = 3650;
export const LEAF_DAYS = 365;

/** A certificate and its private key, in PEM. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

export interface IssueContext {
  readonly clock: Clock;
  readonly random: Random;
  /** How long the certificate is valid, from now. */
  readonly days: number;
}

export interface Bearer {
  readonly kind: "node" | "client";
  /** Node id, or name of the client. */
  readonly name: string;
  /** Names and addresses by which a node is reached. */
  readonly hosts: readonly string[];
}

/** A new authority with a key of its own. */
export async function makeAuthority(name: string, context: IssueContext): Promise<Issued> {
  const keys = await makeKeyPair();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(context.random),
    name: `CN=${name}`,
    ...validity(context),
    keys,
    signingAlgorithm: KEY_ALGORITHM,
    extensions: [
      // It signs leaves only: an authority below it would be one more key to lose.
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: certificate.toString("pem"), key: await privateKeyPem(keys) };
}

/**
 * A certificate for `bearer` signed by `authority`, whose first certificate belongs to its key. It never outlives the authority.
 * RangeError where the authority has expired, TypeError where it is none.
 */
export async function issueCertificate(authority: Issued, bearer: Bearer, context: IssueContext): Promise<Issued> {
  const issuer = parseCertificate(authority.cert);
  const { kind, notAfter, name } = await certificateFacts(authority.cert);
  if (kind !== "authority") throw new TypeError(`the certificate of ${name} is not one of an authority`);
  const dates = validity(context);
  if (notAfter <= context.clock.now()) {
    throw new RangeError(`the authority ${name} expired at ${new Date(notAfter).toISOString()}: make a new one`);
  }
  const keys = await makeKeyPair();
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(context.random),
    subject: `CN=${bearer.name}`,
    issuer: issuer.subject,
    notBefore: dates.notBefore,
    notAfter: new Date(Math.min(dates.notAfter.getTime(), notAfter)),
    publicKey: keys.publicKey,
    signingKey: await privateKeyOfPem(authority.key),
    signingAlgorithm: KEY_ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(bearer.kind === "node" ? [serverAuth, clientAuth] : [clientAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: "url", value: bearerUri(bearer.kind, bearer.name) },
        ...bearer.hosts.map(hostName),
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { cert: certificate.toString("pem"), key: await privateKeyPem(keys) };
}

function validity({ clock, days }: IssueContext): { notBefore: Date; notAfter: Date } {
  const now = clock.now();
  return { notBefore: new Date(now - BACKDATE_MS), notAfter: new Date(now + days * DAY_MS) };
}

/** A host as an alternative name: an address is told from a name by its form. */
export function hostName(host: string): x509.JsonGeneralName {
  const isAddress = host.includes(":") || /^\d+(\.\d+){3}$/.test(host);
  return { type: isAddress ? "ip" : "dns", value: host };
}
