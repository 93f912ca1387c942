// Follow one count until it is done, failed or cancelled.
import * as api from "./api.js";
import { duration, percent } from "./format.js";
import { onChanges } from "./live.js";

const ENDED = new Set(["done", "failed", "cancelled"]);
export const ended = (count) => ENDED.has(count.status);

/** The text shown while a count waits or runs. */
export function progressText(count) {
  if (count.status === "queued") return "waiting in the queue";
  if (count.status === "running") {
    const left = duration(count.remaining_s);
    return `counting, ${percent(count.progress ?? 0)}${left ? `, ${left} left` : ""}`;
  }
  if (count.status === "cancelled") return "cancelled";
  if (count.status === "failed") return count.error ?? "failed";
  return "done";
}

/** Calls onProgress(count) whenever the count changes and resolves with the last. Survives a lost connection. */
export function follow(id, onProgress) {
  return new Promise((resolve, reject) => {
    let over = false;
    const end = (settle, value) => { over = true; stop(); settle(value); };
    async function look() {
      try {
        const count = await api.get(api.countPath(id));
        if (over) return; // another look was faster, and what followed from it is shown
        onProgress(count);
        if (ended(count)) end(resolve, count);
      } catch (error) {
        if (!api.isPassing(error)) end(reject, error);
      }
    }
    const stop = onChanges(({ counts, deleted, reset }) => {
      if (deleted.includes(id)) end(reject, new api.ApiError("This count was deleted.", 404));
      else if (reset || counts.some((count) => count.id === id)) look();
    }, { hurried: true });
    look();
  });
}
