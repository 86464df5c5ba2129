import { TransportError } from "./transport_error.ts";

/** The UDP socket of a listener for WebTransport or QUIC on Deno. @throws TransportError `refused` where the port is taken */
export function openQuicEndpoint({ host, port }: { host: string; port: number }): Deno.QuicEndpoint {
  try {
    return new Deno.QuicEndpoint({ hostname: host, port });
  } catch (cause) {
    throw new TransportError("refused", `cannot listen on UDP ${host}:${port}`, { cause });
  }
}
