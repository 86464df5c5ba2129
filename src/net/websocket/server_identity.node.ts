import { createPrivateKey, X509Certificate } from "node:crypto";
import type { ServerIdentity } from "../tls_identity.ts";
import { TransportError } from "../transport_error.ts";
import type { HttpCapability } from "./listen_options.ts";

/**
 * Refuses an identity that a listener cannot honour. @throws TypeError where it contradicts itself, TransportError
 * `unsupported` where this runtime cannot do what it asks for: nobody is let in on a promise that is not kept.
 */
export function checkIdentity(identity: ServerIdentity, capability: HttpCapability): void {
  const { ca, clientCertificates = "none" } = identity;
  checkPair(identity);
  if (clientCertificates !== "none" && !ca?.length) {
    throw new TypeError(`clientCertificates is "${clientCertificates}", which needs the authorities of clients in ca`);
  }
  if (capability.clientCertificates.includes(clientCertificates)) return;
  const allowed = capability.clientCertificates.map((each) => `"${each}"`).join(" and ");
  const found = `clientCertificates is "${clientCertificates}", this runtime can do ${allowed}`;
  throw new TransportError("unsupported", `${found}: ${capability.reason}`);
}

/** Deno listens with anything and fails each handshake; here it is told at once, alike on all runtimes. */
function checkPair({ cert, key }: ServerIdentity): void {
  let isPair: boolean;
  try {
    isPair = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw new TypeError(`cert and key are not a certificate and a private key in PEM: ${(error as Error).message}`);
  }
  if (!isPair) throw new TypeError("the key is not that of the certificate");
}

/** Refuses an identity that cannot take the place of `current` in a listener. @throws TypeError */
export function checkReplacement(replacement: ServerIdentity, current: ServerIdentity | undefined): void {
  if (!current) throw new TypeError("this listener has no certificate");
  const [before, after] = [current, replacement].map(({ clientCertificates = "none" }) => clientCertificates);
  if (before === after) return;
  throw new TypeError(`clientCertificates is "${after}", and stays "${before}" while the listener listens`);
}
