// How two nodes greet each other: PROTOCOL.md, sections 8.1 and 8.2. Both ends of the same exchange, so that they lie side by
// side. What is not right ends it by name, and the other side is told.

import type { Random } from "../core/environment.ts";
import type { Session } from "../net/session.ts";
import { PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from "../wire/messages.ts";
import { NONCE_BYTES, type PeerControl, type PeerHello, type PeerWelcome } from "../wire/peer_messages.ts";
import { ProtocolError } from "../wire/protocol_error.ts";
import type { ControlLane } from "./control_lane.ts";
import { PeerError } from "./peer_error.ts";
import type { PeerIdentity } from "./peer_identity.ts";
import { Direction, signTranscript, type Transcript, verifyTranscript } from "./proof.ts";

const NOTHING = new Uint8Array(0);
/** Goodbye to a client that has not seen the server's certificate; its reason is the certificate's SHA-256, hexadecimal. */
export const UNSEEN_CERTIFICATE = "unseen-certificate";
/** A day, as in the configuration. */
const HEARTBEAT_MS_MAX = 86_400_000;

/** What the greeting has shown of the other node. */
export interface Acquaintance {
  readonly id: string;
  readonly instance: string;
  readonly agent: string;
  readonly heartbeatMs: number;
  readonly sessionId: string;
}

export interface GreetingContext {
  readonly session: Session;
  readonly control: ControlLane;
  readonly identity: PeerIdentity;
  readonly random: Random;
}

export interface DialedGreeting extends GreetingContext {
  /** Whom the connection should reach; "" for whoever is there. */
  readonly expectedId: string;
  /** SHA-256 of the certificate that the server's end has shown; empty without TLS. */
  readonly serverHash: Uint8Array;
}

export interface AcceptedGreeting extends GreetingContext {
  /** SHA-256 of the certificates that this end of the connection may have shown; none without TLS. */
  readonly serverHashes: readonly Uint8Array[];
  readonly heartbeatMs: number;
  readonly sessionId: string;
  /** Whether the peer may join now; throws a PeerError that says why not. */
  readonly admit: (peer: { id: string; instance: string }) => void;
}

/** The greeting by the side that has dialed. */
export async function greetAsClient(context: DialedGreeting): Promise<Acquaintance> {
  const { control, identity, random, expectedId, serverHash } = context;
  const hello: PeerHello = {
    type: "peerHello",
    versionMin: PROTOCOL_VERSION_MIN,
    versionMax: PROTOCOL_VERSION_MAX,
    clusterId: identity.clusterId,
    id: identity.id,
    expectedId,
    instance: identity.instance,
    agent: identity.agent,
    nonce: random.bytes(NONCE_BYTES),
    serverHash,
    certificate: identity.proof?.certificate ?? NOTHING,
  };
  void control.send(hello);
  const welcome = await expectMessage(control, "peerWelcome");
  checkVersion(welcome.version, welcome.version);
  const { id, instance, agent, heartbeatMs } = welcome;
  checkHeartbeat(heartbeatMs);
  checkOther(id, identity.id);
  if (expectedId !== "" && id !== expectedId) {
    throw new PeerError("wrong-peer", `${JSON.stringify(id)} answers where ${JSON.stringify(expectedId)} was meant`);
  }
  const transcript = transcriptOf(hello, welcome, serverHash);
  await checkProof(context, transcript, { direction: Direction.server, signature: welcome.signature });
  void control.send({ type: "peerProof", signature: await signature(identity, transcript, Direction.client) });
  const { sessionId } = await expectMessage(control, "peerReady");
  return { id, instance, agent, heartbeatMs, sessionId };
}

/** The greeting by the side that was dialed. */
export async function greetAsServer(context: AcceptedGreeting): Promise<Acquaintance> {
  const { control, identity, random, serverHashes, heartbeatMs, sessionId, admit } = context;
  const hello = await expectMessage(control, "peerHello");
  const version = checkVersion(hello.versionMin, hello.versionMax);
  tellServerHash(hello.serverHash, serverHashes);
  checkOther(hello.id, identity.id);
  if (hello.clusterId !== identity.clusterId) {
    throw new PeerError("wrong-cluster", `cluster ${JSON.stringify(hello.clusterId)} was meant, this is another one`);
  }
  if (hello.expectedId !== "" && hello.expectedId !== identity.id) {
    throw new PeerError("wrong-peer", `${JSON.stringify(hello.expectedId)} was meant, this is ${identity.id}`);
  }
  checkServerHash(hello.serverHash, serverHashes);
  const nonce = random.bytes(NONCE_BYTES);
  const unsigned: PeerWelcome = {
    type: "peerWelcome",
    version,
    id: identity.id,
    instance: identity.instance,
    agent: identity.agent,
    nonce,
    certificate: identity.proof?.certificate ?? NOTHING,
    signature: NOTHING,
    heartbeatMs,
  };
  const transcript = transcriptOf(hello, unsigned, hello.serverHash);
  // Before anything is signed for a stranger.
  await checkCertificate(context, hello.id, hello.certificate);
  admit({ id: hello.id, instance: hello.instance });
  void control.send({ ...unsigned, signature: await signature(identity, transcript, Direction.server) });
  const proof = await expectMessage(control, "peerProof");
  await checkProof(context, transcript, { direction: Direction.client, signature: proof.signature });
  // Another session of the same node may have been faster.
  admit({ id: hello.id, instance: hello.instance });
  void control.send({ type: "peerReady", sessionId });
  return { id: hello.id, instance: hello.instance, agent: hello.agent, heartbeatMs, sessionId };
}

/** What a client says that only asks for the server's certificate. */
export const QUESTION: PeerHello = {
  type: "peerHello",
  versionMin: PROTOCOL_VERSION_MIN,
  versionMax: PROTOCOL_VERSION_MAX,
  clusterId: "",
  id: "",
  expectedId: "",
  instance: "",
  agent: "",
  nonce: new Uint8Array(NONCE_BYTES),
  serverHash: NOTHING,
  certificate: NOTHING,
};

async function expectMessage<Type extends PeerControl["type"]>(
  control: ControlLane,
  type: Type,
): Promise<Extract<PeerControl, { type: Type }>> {
  const message = await control.next();
  if (message.type === "goodbye") throw new PeerError(message.code, `the peer said: ${message.reason}`);
  if (message.type !== type) throw new ProtocolError("unexpected-message", `${message.type} instead of ${type}`);
  return message as Extract<PeerControl, { type: Type }>;
}

/** The version to speak with a peer that speaks `min` to `max`. */
function checkVersion(min: number, max: number): number {
  const version = Math.min(max, PROTOCOL_VERSION_MAX);
  if (version >= min && version >= PROTOCOL_VERSION_MIN) return version;
  const spoken = `${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}`;
  throw new PeerError("version-mismatch", `versions ${min} to ${max} were offered, ${spoken} are spoken here`);
}

/** Its beats are timers here: one of none would never let this node rest, and above 2^31 timers run at once. */
function checkHeartbeat(heartbeatMs: number): void {
  if (heartbeatMs >= 1 && heartbeatMs <= HEARTBEAT_MS_MAX) return;
  throw new ProtocolError("malformed-message", `heartbeatMs is ${heartbeatMs}, allowed are 1 to ${HEARTBEAT_MS_MAX}`);
}

function checkOther(id: string, ownId: string): void {
  if (id === ownId) throw new PeerError("self", `the other side says it is ${JSON.stringify(id)}, and so are we`);
}

/** A client that is not shown the certificate of this end asks for it: what it is told only says which one to insist on. */
function tellServerHash(hash: Uint8Array, [current]: readonly Uint8Array[]): void {
  if (hash.byteLength === 0 && current) throw new PeerError(UNSEEN_CERTIFICATE, current.toHex());
}

function checkServerHash(hash: Uint8Array, own: readonly Uint8Array[]): void {
  const isOurs = own.length === 0 ? hash.byteLength === 0 : own.some((each) => each.toHex() === hash.toHex());
  if (isOurs) return;
  const seen = hash.byteLength === 0 ? "no certificate" : `the certificate ${hash.toHex()}`;
  throw new PeerError("bad-proof", `the peer has seen ${seen} at the end of its connection, which is not ours`);
}

async function checkCertificate(context: GreetingContext, id: string, certificate: Uint8Array): Promise<void> {
  const { identity: { proof }, session } = context;
  if (!proof) return;
  await proof.trust.check(certificate, id);
  // What the transport has asked for must say the same.
  if (session.peerCertificate) await proof.trust.check(session.peerCertificate.raw, id);
}

async function checkProof(
  context: GreetingContext,
  transcript: Transcript,
  { direction, signature }: { direction: Direction; signature: Uint8Array },
): Promise<void> {
  if (!context.identity.proof) return;
  const isServer = direction === Direction.server;
  const id = isServer ? transcript.serverId : transcript.clientId;
  const certificate = isServer ? transcript.serverCertificate : transcript.clientCertificate;
  await checkCertificate(context, id, certificate);
  if (await verifyTranscript(signature, { transcript, direction, certificate })) return;
  throw new PeerError("bad-proof", `the signature of ${JSON.stringify(id)} does not match this hello`);
}

async function signature({ proof }: PeerIdentity, transcript: Transcript, direction: Direction): Promise<Uint8Array> {
  return proof ? await signTranscript(proof.key, transcript, direction) : NOTHING;
}

function transcriptOf(hello: PeerHello, welcome: PeerWelcome, serverHash: Uint8Array): Transcript {
  return {
    versionMin: hello.versionMin,
    versionMax: hello.versionMax,
    version: welcome.version,
    clusterId: hello.clusterId,
    clientId: hello.id,
    serverId: welcome.id,
    clientInstance: hello.instance,
    serverInstance: welcome.instance,
    clientNonce: hello.nonce,
    serverNonce: welcome.nonce,
    serverHash,
    clientCertificate: hello.certificate,
    serverCertificate: welcome.certificate,
  };
}
