// The console page: which channel is chosen (the address's hash), what the node says (asked every two seconds while the page is
// looked at), and who draws it.

import { environment } from "../environment.web.ts";
import { ApiError, type ChannelDetail, getChannel, getNode, listChannels } from "./api.ts";
import { ChannelList } from "./channel_list.ts";
import { ChannelPage } from "./channel_page.ts";
import { byId, setHidden, setText } from "./element.ts";
import { appendForm, createForm } from "./forms.ts";
import { Guidance } from "./guidance.ts";
import { exposeInspection } from "./inspection.ts";
import { showNode } from "./node_header.ts";
import { poll } from "./poll.ts";

const POLL_INTERVAL_MS = 2_000;
const POLL_TIMEOUT_MS = 5_000;

const guidance = new Guidance();
const list = new ChannelList();
const page = new ChannelPage(guidance, () => polling.now());
const appending = appendForm(() => page.channel);
/** The node may have been restarted, on another version or runtime, whenever it was away. */
const seen = { node: false };

function chosen(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

/** Shows the channel that the address names. */
function choose(): void {
  const channel = chosen();
  list.select(channel);
  setText(byId("channel-name"), channel);
  setHidden(byId("channel-name"), channel === "");
  setHidden(byId("channel-view"), channel === "");
  setHidden(byId("panel"), channel === "");
  appending.enable(channel !== "");
  if (channel !== page.channel) page.open(channel);
}

async function refresh(signal: AbortSignal): Promise<void> {
  const channel = chosen();
  try {
    if (!seen.node) showNode(await getNode(signal));
    seen.node = true;
    const [listed, detail] = await Promise.all([
      listChannels(signal),
      channel === "" ? undefined : detailOf(channel, signal),
    ]);
    list.show(listed);
    guidance.away(undefined, POLL_INTERVAL_MS);
    page.noteAnswer(true);
    if (channel === "") chooseFirst(listed.channels.map(({ name }) => name));
    else if (channel === chosen()) page.noteDetail(detail);
  } catch (error) {
    seen.node = false;
    const reason = error instanceof ApiError ? error : new ApiError(0, "failed", String(error), { cause: error });
    guidance.away(reason, POLL_INTERVAL_MS);
    page.noteAnswer(false);
  }
}

async function detailOf(channel: string, signal: AbortSignal): Promise<ChannelDetail | undefined> {
  try {
    return await getChannel(channel, signal);
  } catch (error) {
    if (error instanceof ApiError && error.status >= 400 && error.status < 500) return undefined;
    throw error;
  }
}

/** Someone who opens the page wants to see something. */
function chooseFirst(names: readonly string[]): void {
  const first = names.find((name) => !name.startsWith("_"));
  if (first === undefined) return guidance.noChannels();
  location.replace(`#${encodeURIComponent(first)}`);
}

exposeInspection(page);
addEventListener("hashchange", () => {
  choose();
  polling.now();
});
createForm((name) => {
  location.hash = encodeURIComponent(name);
  polling.now();
});
// A tab that goes away says so: the node would count it as a slow replica until its session times out. One that comes back
// from the browser's cache of pages opens another copy.
addEventListener("pagehide", () => page.open(""));
addEventListener("pageshow", (event) => {
  if ((event as PageTransitionEvent).persisted) choose();
});
choose();
const polling = poll(refresh, { clock: environment.clock, intervalMs: POLL_INTERVAL_MS, timeoutMs: POLL_TIMEOUT_MS });
