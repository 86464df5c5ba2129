// The form of a message between a test and a remote peer: the size of the head (u32, little-endian), the head in JSON, bytes.

export interface RpcHead {
  /** Of a call and of its answer; 0 where none is wanted. */
  readonly id: number;
  /** What is asked for; an answer has none. */
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly failure?: RpcFailure;
  /** Number of zeros that the message stands for, in place of bytes. */
  readonly zeros?: number;
}

/** An error as it travels. */
export interface RpcFailure {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
}

export interface RpcMessage {
  readonly head: RpcHead;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const SIZE_BYTES = 4;
/** From here on it is looked whether bytes are nothing but zeros: tests write many MiB of them that no lane ever takes. */
const ZEROS_BYTES_MIN = 1 << 20;

export function encodeRpcMessage(head: RpcHead, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const isZeros = bytes.byteLength >= ZEROS_BYTES_MIN && holdsZeros(bytes);
  const text = new TextEncoder().encode(JSON.stringify(isZeros ? { ...head, zeros: bytes.byteLength } : head));
  const message = new Uint8Array(SIZE_BYTES + text.byteLength + (isZeros ? 0 : bytes.byteLength));
  new DataView(message.buffer).setUint32(0, text.byteLength, true);
  message.set(text, SIZE_BYTES);
  if (!isZeros) message.set(bytes, SIZE_BYTES + text.byteLength);
  return message;
}

function holdsZeros(bytes: Uint8Array): boolean {
  const words = new Float64Array(bytes.buffer, Math.ceil(bytes.byteOffset / 8) * 8, (bytes.byteLength >> 3) - 1);
  for (let index = 0; index < words.length; index++) if (words[index] !== 0) return false;
  return bytes.subarray(0, 8).every(isZero) && bytes.subarray(-16).every(isZero);
}

const isZero = (byte: number) => byte === 0;

export function decodeRpcMessage(message: ArrayBuffer): RpcMessage {
  const size = new DataView(message).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(message, SIZE_BYTES, size))) as RpcHead;
  const bytes = head.zeros === undefined ? new Uint8Array(message, SIZE_BYTES + size) : new Uint8Array(head.zeros);
  return { head, bytes };
}
