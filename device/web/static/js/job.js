// Follow one count until it is done, failed or cancelled.
import * as api from "./api.js";
import { pause } from "./dom.js";
import { duration, percent } from "./format.js";

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

/** Polls; calls onProgress(count) for each answer and resolves with the last. Survives short network failures. */
export async function follow(id, onProgress, { everyMs = 400, signal } = {}) {
  let misses = 0;
  for (;;) {
    try {
      const count = await api.get(api.countPath(id), undefined, signal);
      misses = 0;
      onProgress(count);
      if (ended(count)) return count;
    } catch (error) {
      misses += 1;
      if (error.name === "AbortError" || error.status >= 400 || misses > 30) throw error;
    }
    await pause(document.hidden ? 4 * everyMs : everyMs);
  }
}
