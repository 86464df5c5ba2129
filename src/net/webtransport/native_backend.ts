// The WebTransport that the runtime has by itself, for connecting: browsers and Deno.

import type { StreamConnection } from "../stream_connection.ts";
import { TransportError } from "../transport_error.ts";
import type { DialOptions, WebTransportBackend } from "./backend.ts";
import { connectCapability } from "./capability.ts";

/** The global WebTransport, HTTP/3. It cannot listen. */
export function nativeBackend(): WebTransportBackend {
  const reason = "a browser does not listen";
  return {
    name: "native",
    http: "h3",
    listening: { isSupported: false, reason },
    connecting: connectCapability(),
    certificateReplacement: "in place",
    listen: () => Promise.reject(new TransportError("unsupported", reason)),
    dial: dialNative,
  };
}

export function dialNative({ url, certificateHashes }: DialOptions): StreamConnection {
  const hashes = certificateHashes.map((value) => ({ algorithm: "sha-256", value }));
  return new WebTransport(
    url.href,
    hashes.length > 0 ? { serverCertificateHashes: hashes } : {},
  ) as unknown as StreamConnection;
}
