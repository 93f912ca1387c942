// Selection and place in the list, kept with this step of the browser's history: the way back from a count, and a
// reload, show the list as it was. (The filter stands in the address, for links.)
import { debounce } from "./dom.js";

/** Browsers refuse a state of some megabytes. */
const MOST_IDS = 20000;
/** Below the header and the bar of the selection. */
const EDGE_PX = 130;

history.scrollRestoration = "manual";

function topRow() {
  for (const row of document.querySelectorAll(".history-row")) {
    const { top, bottom } = row.getBoundingClientRect();
    if (bottom > EDGE_PX) return { id: row.dataset.id, top };
  }
  return null;
}

/** present() gives {chosen, everything, rows} of this moment. */
export function keepPlace(present) {
  const write = () => {
    const { chosen, everything, rows } = present();
    if (!rows || chosen.length > MOST_IDS) return;
    history.replaceState({ ...history.state, list: { chosen: everything ? [] : chosen, everything, rows, row: scrollY ? topRow() : null } }, "");
  };
  addEventListener("pagehide", write);
  addEventListener("scroll", debounce(300, write), { passive: true });
  document.addEventListener("change", debounce(50, write));
}

/** What was kept with this step, null for a list that is opened anew. */
export const keptPlace = () => history.state?.list ?? null;

/** Rows out of sight have no certain height before they come near: the place is found in a few steps. */
export async function goTo({ row }) {
  const found = row && document.querySelector(`.history-row[data-id="${CSS.escape(row.id)}"]`);
  if (!found) return;
  found.scrollIntoView();
  for (let step = 0; step < 5; step += 1) {
    await new Promise((drawn) => { requestAnimationFrame(drawn); });
    scrollBy(0, found.getBoundingClientRect().top - row.top);
  }
}
