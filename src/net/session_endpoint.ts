/** The one path on which sessions are accepted, on WebSocket as on WebTransport. */
export const SESSION_PATH = "/v1/replicate";
