// Follows many counts with one request per second, so that a hundred uploads do not mean a hundred requests.
import * as api from "./api.js";
import { pause } from "./dom.js";
import { ended } from "./job.js";

const EVERY_MS = 900;
const MOST = 500;
/** How many counts to ask for one by one when newer counts have pushed them out of the list. */
const SINGLES = 3;

export class Follower {
  /** onCount(count) for each answer about a followed id, including the last; onTrouble(id, error). */
  constructor({ onCount, onTrouble }) {
    Object.assign(this, { onCount, onTrouble });
    this.open = new Set();
    this.running = false;
  }

  add(id) {
    this.open.add(id);
    if (!this.running) this.#loop();
  }

  async #loop() {
    this.running = true;
    while (this.open.size) {
      try {
        await this.#ask();
      } catch { /* the header shows that the instrument does not answer; the loop tries again */ }
      await pause(document.hidden ? 4 * EVERY_MS : EVERY_MS);
    }
    this.running = false;
  }

  async #ask() {
    const { counts } = await api.get("/counts", { limit: Math.min(MOST, this.open.size + 20) });
    const seen = new Set(counts.map((count) => count.id));
    for (const count of counts) this.#tell(count);
    for (const id of [...this.open].filter((one) => !seen.has(one)).slice(0, SINGLES)) await this.#single(id);
  }

  async #single(id) {
    try {
      this.#tell(await api.get(api.countPath(id)));
    } catch (error) {
      if (error.status < 400) throw error;
      this.open.delete(id);
      this.onTrouble(id, error);
    }
  }

  #tell(count) {
    if (!this.open.has(count.id)) return;
    if (ended(count)) this.open.delete(count.id);
    this.onCount(count);
  }
}
