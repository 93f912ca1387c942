// Clicks wait here until the instrument has saved them, in order. A lost connection or a closed page loses none.
import { isPassing } from "./api.js";
import { memory, pause } from "./dom.js";
import { newKey } from "./keys.js";

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15000;

export class CorrectionQueue {
  /** send(item) saves one; onChange() after each step; onRefused(item, error) when the instrument says no. */
  constructor(id, { send, onChange, onRefused }) {
    Object.assign(this, { send, onChange, onRefused });
    this.place = `corrections-${id}`;
    this.pending = [];
    this.refused = [];
    this.trouble = "";
    this.running = false;
    window.addEventListener("online", () => this.hurry());
  }

  /** Go on with what an earlier visit could not save. */
  begin() {
    if (this.running || this.pending.length) return;
    try { this.pending = JSON.parse(memory.read(this.place) || "[]"); } catch { this.pending = []; }
    this.#run();
  }

  push(body) {
    this.pending.push({ key: newKey(), body });
    this.#changed();
    this.#run();
  }

  /** Take a click out that was never sent; false where it is too late. */
  take(key) {
    const at = this.pending.findIndex((item) => item.key === key && !item.sent);
    if (at < 0) return false;
    this.pending.splice(at, 1);
    this.#changed();
    return true;
  }

  forget(item) {
    this.refused = this.refused.filter((one) => one.item !== item);
    this.onChange();
  }

  /** Do not wait for the next try. */
  hurry() { this.wake?.(); }

  #changed() {
    memory.write(this.place, this.pending.length ? JSON.stringify(this.pending) : "");
    this.onChange();
  }

  async #run() {
    if (this.running) return;
    this.running = true;
    let wait = FIRST_WAIT_MS;
    while (this.pending.length) {
      if (await this.#one(this.pending[0])) wait = FIRST_WAIT_MS;
      else {
        await Promise.race([pause(wait), new Promise((resolve) => { this.wake = resolve; })]);
        wait = Math.min(LONGEST_WAIT_MS, 2 * wait);
      }
    }
    this.running = false;
  }

  /** True when the item is dealt with: saved, or refused for good. */
  async #one(item) {
    item.sent = true;
    try {
      await this.send(item);
    } catch (error) {
      if (isPassing(error)) {
        this.trouble = error.message;
        this.onChange();
        return false;
      }
      this.refused.push({ item, error });
      this.onRefused(item, error);
    }
    this.trouble = "";
    this.pending.shift();
    this.#changed();
    return true;
  }
}
