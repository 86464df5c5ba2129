/** Ways in which `millrace tail` gets entries. */
export const TAIL_TRANSPORTS = ["http", "websocket", "webtransport"] as const;
export type TailTransport = (typeof TAIL_TRANSPORTS)[number];
