// Asking a node which certificate it shows, where the transport does not tell: PROTOCOL.md, section 8.2.

import type { DialOptions } from "../net/connect/dialer.ts";
import type { Session } from "../net/session.ts";
import { ControlLane } from "./control_lane.ts";
import { PeerError } from "./peer_error.ts";
import { QUESTION, UNSEEN_CERTIFICATE } from "./peer_handshake.ts";

/**
 * SHA-256 of the certificate of the node at the other end of `session`, hexadecimal, as whoever is there says: to be insisted on in the
 * next session, and believed for nothing else. Ends `session`. @throws PeerError with what the node says instead, `unsupported` where
 * that is nothing of the kind, `handshake-timeout`; the signal's reason on abort.
 */
export async function askServerHash(
  session: Session,
  { limits: { handshakeGraceMs }, environment: { clock }, signal }: DialOptions,
): Promise<string> {
  const control = new ControlLane(session);
  let isLate = false;
  const leave = () => void session.close({ code: "closed", reason: "nothing more is asked" });
  const cancel = clock.schedule(handshakeGraceMs, () => {
    isLate = true;
    leave();
  });
  signal.addEventListener("abort", leave, { once: true });
  try {
    signal.throwIfAborted();
    void control.send(QUESTION);
    const answer = await control.next();
    if (answer.type !== "goodbye") throw new PeerError("unsupported", `the node answers a question by ${answer.type}`);
    const { code, reason } = answer;
    if (code !== UNSEEN_CERTIFICATE) throw new PeerError(code, `the peer said: ${reason}`);
    if (!/^[0-9a-f]{64}$/.test(reason)) throw new PeerError("unsupported", "the node names no certificate");
    return reason;
  } catch (error) {
    signal.throwIfAborted();
    if (isLate) throw new PeerError("handshake-timeout", `no answer within ${handshakeGraceMs} ms`, { cause: error });
    throw error;
  } finally {
    cancel();
    signal.removeEventListener("abort", leave);
    leave();
  }
}
