// Many counts at once with one question a second: a hundred uploads must not be a hundred questions.
import * as api from "./api.js";
import { pause } from "./dom.js";
import { ended } from "./job.js";

const EVERY_MS = 900;
const MOST = 500;
/** Asked one by one when others filled the list meanwhile. */
const SINGLES = 3;

export class Follower {
  /** onCount(count) for each answer about a followed id, the last one included; onTrouble(id, error). */
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
      } catch { /* the header says that the instrument does not answer; asked again below */ }
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
