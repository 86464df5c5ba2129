// Keys of certificates: ECDSA P-256 throughout, which every transport and every browser takes.

import type { Random } from "../core/environment.ts";

export const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

const SERIAL_BYTES = 16;

/** A fresh key pair whose private key may be written down. */
export async function makeKeyPair(): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(KEY_ALGORITHM, true, ["sign", "verify"]);
}

/** The private key as PKCS #8 in PEM. */
export async function privateKeyPem({ privateKey }: CryptoKeyPair): Promise<string> {
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", privateKey));
  const lines = pkcs8.toBase64().match(/.{1,64}/g)!.join("\n");
  return `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
}

/** The key to sign with, from PKCS #8 in PEM. @throws TypeError where it is not such a key. */
export async function privateKeyOfPem(pem: string): Promise<CryptoKey> {
  const body = /-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----/.exec(pem)?.[1];
  if (body === undefined) throw new TypeError("a private key is PKCS #8 in PEM (BEGIN PRIVATE KEY)");
  try {
    const der = Uint8Array.fromBase64(body.replaceAll(/\s/g, ""));
    return await crypto.subtle.importKey("pkcs8", der, KEY_ALGORITHM, false, ["sign"]);
  } catch (cause) {
    throw new TypeError("a private key of ECDSA P-256 is needed, this is another one or damaged", { cause });
  }
}

/** A random serial number whose first bit is clear, since it is signed and must be positive (RFC 5280, 4.1.2.2). */
export function serialNumber(random: Random): string {
  const bytes = random.bytes(SERIAL_BYTES);
  bytes[0] = bytes[0]! & 0x7f | 0x01;
  return bytes.toHex();
}
