import { UsageError } from "./terminal.node.ts";

/** Peers from `ID=ADDRESS,ID=ADDRESS`. @throws UsageError */
export function parsePeers(text: string): { id: string; url: string }[] {
  return text.split(",").map((each) => each.trim()).filter((each) => each !== "").map((each) => {
    const at = each.indexOf("=");
    if (at < 1) throw new UsageError(`a peer is ${JSON.stringify(each)}, allowed is ID=ADDRESS`);
    return { id: each.slice(0, at), url: each.slice(at + 1) };
  });
}
