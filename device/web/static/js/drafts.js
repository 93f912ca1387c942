// What somebody typed and the instrument does not have yet, kept in this browser until it does.
import { memory } from "./dom.js";

const place = (id) => `draft-${id}`;

export function readDraft(id) {
  try { return JSON.parse(memory.read(place(id)) || "{}"); } catch { return {}; }
}

export const writeDraft = (id, draft) => memory.write(place(id), Object.keys(draft).length ? JSON.stringify(draft) : "");
