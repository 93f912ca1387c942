// What changed on the instrument, whoever changed it: the button on the case, another tab, a watched folder.
// One short question a second, which the instrument answers from an index; no page asks for its lists again and again.
import * as api from "./api.js";

const EVERY_MS = 1000;
const EAGER_MS = 400;
const HIDDEN_MS = 5000;

const listeners = new Set();
let latest = null;
let eager = 0;
let timer = null;
let asking = false;

/** Call action({counts, deleted, reset}) with each change; reset means: look at everything again. Returns how to stop. */
export function onChanges(action, { hurried = false } = {}) {
  listeners.add(action);
  if (hurried) eager += 1;
  if (!asking) ask();
  return () => {
    if (listeners.delete(action) && hurried) eager -= 1;
  };
}

const tell = (found) => { for (const action of [...listeners]) action(found); };

async function ask() {
  clearTimeout(timer);
  asking = true;
  try {
    const found = await api.get("/changes", latest === null ? {} : { since: latest });
    const first = latest === null;
    latest = found.latest;
    if (first || found.reset || found.counts.length || found.deleted.length) tell({ ...found, reset: found.reset || first });
  } catch { /* the header shows that the instrument does not answer; the next question tells what was missed */ }
  asking = false;
  timer = setTimeout(ask, document.hidden ? HIDDEN_MS : eager ? EAGER_MS : EVERY_MS);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden && listeners.size && !asking) ask(); });
