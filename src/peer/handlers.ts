import type { Command, Handler } from "./command.ts";

/** A handler with the codecs of its command. */
export interface Handling {
  readonly command: Command<unknown, unknown>;
  readonly handler: Handler<unknown, unknown>;
}

/** What has become of the messages that came in. */
export interface MessageCounts {
  handled: number;
  unknownCommand: number;
  badPayload: number;
  wrongTarget: number;
  unknownRequest: number;
  handlerFailed: number;
  busy: number;
}

/** Who handles which command on this node, and how that went. */
export class Handlers {
  readonly counts: MessageCounts = {
    handled: 0,
    unknownCommand: 0,
    badPayload: 0,
    wrongTarget: 0,
    unknownRequest: 0,
    handlerFailed: 0,
    busy: 0,
  };
  readonly #byCommand = new Map<string, Handling>();

  /** Takes `handler` for `command` from now on; the answer takes it away. TypeError where there is one already. */
  add<Value, Reply>(command: Command<Value, Reply>, handler: Handler<Value, Reply>): () => void {
    if (this.#byCommand.has(command.id)) throw new TypeError(`command ${command.id} has a handler already`);
    const handling = { command, handler } as unknown as Handling;
    this.#byCommand.set(command.id, handling);
    return () => {
      if (this.#byCommand.get(command.id) === handling) this.#byCommand.delete(command.id);
    };
  }

  find(command: string): Handling | undefined {
    return this.#byCommand.get(command);
  }
}
