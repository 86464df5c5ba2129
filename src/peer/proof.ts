// How two nodes prove to each other who they are where the transport does not do it for them: both sign the same transcript
// of their hello with the key of their certificate. PROTOCOL.md, section 8.2.

import { utf8 } from "../lib/bytes.ts";
import { FieldWriter } from "../wire/fields.ts";
import { parseCertificate } from "./certificate_facts.ts";
import { KEY_ALGORITHM } from "./key_pair.ts";

/** Begins every transcript, so that a signature made for another purpose is never one of ours. */
const DOMAIN_TAG = "millrace peer hello 1";

/** Who has signed: the byte keeps a signature from being sent back to the one who made it. */
export const Direction = { client: 0, server: 1 } as const;
export type Direction = (typeof Direction)[keyof typeof Direction];

/** Everything that both sides must agree on. */
export interface Transcript {
  readonly versionMin: number;
  readonly versionMax: number;
  /** The version chosen. */
  readonly version: number;
  readonly clusterId: string;
  readonly clientId: string;
  readonly serverId: string;
  readonly clientInstance: string;
  readonly serverInstance: string;
  readonly clientNonce: Uint8Array;
  readonly serverNonce: Uint8Array;
  /** SHA-256 of the certificate by which the server's end of the connection is known; empty without TLS. */
  readonly serverHash: Uint8Array;
  readonly clientCertificate: Uint8Array;
  readonly serverCertificate: Uint8Array;
}

/** The bytes that are signed. */
export function transcriptBytes(transcript: Transcript, direction: Direction): Uint8Array<ArrayBuffer> {
  const { clusterId, clientId, serverId, clientInstance, serverInstance } = transcript;
  const writer = new FieldWriter(1024).rest(utf8(DOMAIN_TAG)).u8(0).u8(direction);
  writer.u16(transcript.versionMin).u16(transcript.versionMax).u16(transcript.version);
  for (const text of [clusterId, clientId, serverId, clientInstance, serverInstance]) writer.text(text);
  const { clientNonce, serverNonce, serverHash, clientCertificate, serverCertificate } = transcript;
  for (const bytes of [clientNonce, serverNonce, serverHash, clientCertificate, serverCertificate]) writer.bytes(bytes);
  return writer.finish();
}

/** ECDSA P-256 with SHA-256 over the transcript, as 64 bytes (r and s). */
export async function signTranscript(
  key: CryptoKey,
  transcript: Transcript,
  direction: Direction,
): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.sign(KEY_ALGORITHM, key, transcriptBytes(transcript, direction)));
}

/** Whether the bearer of `certificate` (DER) has signed the transcript. False where the certificate has no such key. */
export async function verifyTranscript(
  signature: Uint8Array,
  { transcript, direction, certificate }: { transcript: Transcript; direction: Direction; certificate: Uint8Array },
): Promise<boolean> {
  try {
    const key = await parseCertificate(certificate).publicKey.export(KEY_ALGORITHM, ["verify"]);
    const bytes = transcriptBytes(transcript, direction);
    return await crypto.subtle.verify(KEY_ALGORITHM, key, signature.slice(), bytes);
  } catch {
    return false;
  }
}
