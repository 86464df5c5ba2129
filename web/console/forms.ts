// The page's two forms: create a channel, append a line. What the node refuses is shown beside the field, in its own words.

import { channelNameFault } from "../../src/core/channel_name.ts";
import { appendText, createChannel } from "./api.ts";
import { byId, setText } from "./element.ts";
import { formatCount } from "./format.ts";

/** Creates the channel that is typed; `onCreated` is told its name. */
export function createForm(onCreated: (name: string) => void): void {
  const form = byId("create", HTMLFormElement);
  const field = byId("create-name", HTMLInputElement);
  const answer = byId("create-answer");
  onSubmit(form, answer, async () => {
    const name = field.value.trim();
    const fault = channelNameFault(name);
    if (fault !== undefined) throw new RangeError(fault);
    await createChannel(name);
    field.value = "";
    onCreated(name);
    return "";
  });
}

/** Appends the line that is typed to the channel that `channel` answers. */
export function appendForm(channel: () => string): { enable(isEnabled: boolean): void } {
  const form = byId("append", HTMLFormElement);
  const field = byId("append-text", HTMLInputElement);
  const answer = byId("append-answer");
  onSubmit(form, answer, async () => {
    if (field.value === "") return "";
    const seq = await appendText(channel(), field.value);
    field.value = "";
    return `Entry ${formatCount(seq)} is committed.`;
  });
  return {
    enable(isEnabled) {
      for (const control of form.elements) (control as HTMLInputElement).disabled = !isEnabled;
      setText(answer, "");
    },
  };
}

/** One submission at a time; the answer or the error goes to `answer`. */
function onSubmit(form: HTMLFormElement, answer: HTMLElement, submit: () => Promise<string>): void {
  let isBusy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    form.setAttribute("aria-busy", "true");
    try {
      setText(answer, await submit());
      answer.classList.remove("is-bad");
    } catch (error) {
      setText(answer, error instanceof Error ? error.message : String(error));
      answer.classList.add("is-bad");
    } finally {
      isBusy = false;
      form.removeAttribute("aria-busy");
    }
  });
}
