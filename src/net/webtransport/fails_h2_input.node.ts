// What a session of @fails-components/webtransport over HTTP/2 takes in. The package parses a peer's bytes as soon as they come,
// also those that come together with the request, before anybody holds the session; and what it throws over them ends the
// process (seen with 1.6.8: a stream that this side would have had to open, a stream that comes when the session is over). Here
// bytes wait until the session is held, none are taken in after its end, and who sends what nobody may loses the connection.

import { byteLengthOf } from "../../lib/bytes.ts";
import type { CapsuleParser } from "./fails_package.node.ts";

/** Largest capsule that is no stream's: a datagram, a close with its reason. */
const CAPSULE_BYTES_MAX = 16 << 10;
/** What may come before the session is held, some turns of the event loop after its request. */
const HELD_BYTES_MAX = 1 << 20;
/** The bit of a stream's identifier that says that its bytes go one way. */
const ONE_WAY = 2n;

export interface H2InputOptions {
  readonly parser: CapsuleParser;
  readonly side: "client" | "server";
  /** The package's state of the session; undefined before there is one. */
  readonly state: () => string | undefined;
}

export class H2Input {
  readonly #options: H2InputOptions;
  readonly #parse: CapsuleParser["parseData"];
  /** What has come before {@link open}. */
  #held: Uint8Array[] = [];
  #onFault: (() => void) | undefined;
  #isParsing = false;
  /** Whether the peer has sent what it must not: nothing more is taken in. */
  #isFaulty = false;

  /** Holds back, from now on, what the parser would take in. To be called before the parser has seen a byte. */
  constructor(options: H2InputOptions) {
    const { parser } = options;
    this.#options = options;
    this.#parse = parser.parseData.bind(parser);
    parser.parseData = (data) => this.#take(data);
    const newStream = parser.newStream.bind(parser);
    parser.newStream = (id, priority) => {
      if (!this.#isParsing || this.#mayMake(id)) return newStream(id, priority);
      this.#fail();
      return undefined;
    };
  }

  /** Takes in what was held back and all that comes; `onFault` is to end the connection of a peer that does not keep to it. */
  open(onFault: () => void): void {
    this.#onFault = onFault;
    if (this.#isFaulty) return onFault();
    for (const data of this.#held.splice(0)) this.#take(data);
  }

  #take(data: Uint8Array): void {
    const { parser } = this.#options;
    if (this.#isOver || this.#isFaulty) return;
    if (!this.#onFault) return this.#hold(data);
    this.#isParsing = true;
    try {
      this.#parse(data);
      if ((parser.saveddata?.byteLength ?? 0) > CAPSULE_BYTES_MAX) this.#fail();
    } catch {
      this.#fail();
    } finally {
      this.#isParsing = false;
    }
  }

  #hold(data: Uint8Array): void {
    this.#held.push(data);
    if (byteLengthOf(this.#held) > HELD_BYTES_MAX) this.#fail();
  }

  /**
   * Whether what is parsed may make stream `id`: one of the peer's for both directions, while the session lasts. This side's own
   * are made too when the peer lets more be opened; where none was waiting the package throws, which is caught.
   */
  #mayMake(id: bigint): boolean {
    const opener = (id & 1n) === 1n ? "client" : "server";
    return !this.#isOver && (opener === this.#options.side || (id & ONE_WAY) === 0n);
  }

  get #isOver(): boolean {
    const state = this.#options.state();
    return state === "closed" || state === "failed";
  }

  #fail(): void {
    this.#isFaulty = true;
    this.#held = [];
    this.#onFault?.();
  }
}
