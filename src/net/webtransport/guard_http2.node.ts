// What must not be done to an HTTP/2 connection of node:http2, by whoever does it:
// - The package pings once a second, also where the connection is destroyed and its end not told yet: that throws in a timer.
// - node:http2 itself destroys connections in the handlers of their frames. Deno's HTTP/2 (2.9.6) goes on with what is freed then,
//   and the process ends: four frames of any client suffice.

import type { Clock } from "../../core/environment.ts";

/** An HTTP/2 connection, as far as it has to be guarded. */
export interface GuardedHttp2 {
  readonly destroyed: boolean;
  ping(...words: never[]): boolean;
  destroy(...words: never[]): void;
}

/**
 * Makes the pings of a connection that is destroyed do nothing, and its end, whoever asks for it first, come in a turn of the
 * event loop of its own. To be called before the connection has read a frame.
 */
export function guardHttp2(http2: GuardedHttp2, clock: Clock): void {
  const ping = http2.ping.bind(http2);
  http2.ping = (...words) => !http2.destroyed && ping(...words);
  const destroy = http2.destroy.bind(http2);
  let isEnding = false;
  http2.destroy = (...words) => {
    if (isEnding) return;
    isEnding = true;
    clock.schedule(0, () => destroy(...words));
  };
}
