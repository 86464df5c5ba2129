/** The control of the WebTransport pump: one stream that the client opens, written as fast as it takes. Answers the URL. */
export function rawWebTransportPump(
  certificate: { cert: string; key: string },
  totalBytes: number,
  pieceBytes: number,
): string {
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const listener = endpoint.listen({ ...certificate, alpnProtocols: ["h3"] });
  const serve = async (incoming: Deno.QuicIncoming) => {
    const transport = await Deno.upgradeWebTransport(await incoming.accept());
    transport.closed.catch(() => {});
    const { value } = await transport.incomingBidirectionalStreams.getReader().read();
    const writer = value!.writable.getWriter();
    const piece = new Uint8Array(pieceBytes);
    for (let at = 0; at < totalBytes; at += pieceBytes) await writer.write(piece);
  };
  (async () => {
    for await (const incoming of listener) serve(incoming).catch(() => {});
  })();
  return `https://127.0.0.1:${endpoint.addr.port}`;
}
