// Which node this is, what it runs on, and what it promises to keep.

import type { NodeInfo } from "./api.ts";
import { byId, setText } from "./element.ts";

export function showNode({ nodeId, version, runtime, store }: NodeInfo): void {
  setText(byId("node-id"), nodeId);
  setText(byId("runtime"), `${runtime} · Millrace ${version}`);
  const durability = byId("durability");
  setText(durability, store.durability);
  durability.dataset["health"] = store.durable ? "good" : "busy";
  document.title = `Millrace · ${nodeId}`;
}
