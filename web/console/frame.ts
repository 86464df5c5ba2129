// Drawing once per animation frame, however often something changes.

export class Frame {
  readonly #draw: () => void;
  #requested = false;

  constructor(draw: () => void) {
    this.#draw = draw;
  }

  /** Has `draw` called in the next frame; a page that is not visible has none until it is. */
  request(): void {
    if (this.#requested) return;
    this.#requested = true;
    requestAnimationFrame(() => {
      this.#requested = false;
      this.#draw();
    });
  }
}
