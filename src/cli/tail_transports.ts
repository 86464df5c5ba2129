/** Ways in which `millrace tail` gets entries. */
export const TAIL_TRANSPORTS = ["http", "webtransport", "websocket", "quic", "tls", "tcp"] as const;
export type TailTransport = (typeof TAIL_TRANSPORTS)[number];
