// Two sliders that label the stored probability map again. "Keep these settings" saves the result.
import * as api from "./api.js";
import { byId, debounce, toast } from "./dom.js";
import { number, significant } from "./format.js";

const WAIT_MS = 90;

export class Tuning {
  /** onTrial(result or null, parameters) when a trial starts or is discarded; onKept() after saving. */
  constructor(id, { onTrial, onKept }) {
    Object.assign(this, { id, onTrial, onKept });
    this.threshold = byId("threshold");
    this.minArea = byId("min-area");
    this.border = byId("exclude-border");
    this.running = null;
    const soon = debounce(WAIT_MS, () => this.#try());
    for (const input of [this.threshold, this.minArea, this.border]) {
      input.addEventListener("input", () => { this.#label(); soon(); });
    }
    byId("trial-keep").addEventListener("click", () => this.#keep());
    byId("trial-drop").addEventListener("click", () => this.reset(this.count));
  }

  /** Set the sliders to the saved result. */
  reset(count) {
    this.running?.abort();
    this.count = count;
    const typical = Math.PI * (count.cell_diameter_px / 2) ** 2;
    const most = Math.max(typical, 2 * count.min_area_px, 10);
    const step = most > 400 ? Math.round(most / 200) : 1;
    this.minArea.step = step;
    this.minArea.max = Math.ceil(most / step) * step;
    this.threshold.value = count.threshold;
    this.minArea.value = count.min_area_px;
    this.border.checked = Boolean(count.exclude_border);
    this.kept = this.#values();
    byId("tuning").hidden = false;
    byId("trial").hidden = true;
    this.#label();
    this.onTrial(null, null);
  }

  #values() {
    return { threshold: Number(this.threshold.value), min_area_px: Number(this.minArea.value), exclude_border: this.border.checked };
  }

  /** Send only the settings that were moved, so that the step of one slider cannot change another setting. */
  #parameters() {
    const now = this.#values();
    const kept = this.kept;
    return {
      threshold: now.threshold === kept.threshold ? this.count.threshold : now.threshold,
      min_area_px: now.min_area_px === kept.min_area_px ? this.count.min_area_px : now.min_area_px,
      exclude_border: now.exclude_border,
    };
  }

  get #moved() { return JSON.stringify(this.#values()) !== JSON.stringify(this.kept); }

  #label() {
    const edge = this.count.pixel_size_um;
    const area = Number(this.minArea.value);
    byId("threshold-value").textContent = number(this.threshold.value, 2);
    byId("min-area-value").textContent = `${number(area)} px²${edge ? `, ${significant(area * edge * edge)} µm²` : ""}`;
    this.minArea.setAttribute("aria-valuetext", byId("min-area-value").textContent);
  }

  async #try() {
    this.running?.abort();
    if (!this.#moved) { this.reset(this.count); return; }
    const running = new AbortController();
    this.running = running;
    const parameters = this.#parameters();
    try {
      const result = await api.get(api.countPath(this.id, "/relabel"), parameters, running.signal);
      if (running.signal.aborted) return;
      byId("trial").hidden = false;
      byId("trial-text").textContent = `${number(result.count)} instead of ${number(this.count.count)} cells. The saved count is unchanged.`;
      await this.onTrial(result, parameters, running.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      byId("trial").hidden = false;
      byId("trial-text").textContent = error.message;
    }
  }

  async #keep() {
    try {
      await api.post(api.countPath(this.id, "/relabel"), this.#parameters());
      toast("Saved. The automatic count now uses these settings.");
      await this.onKept();
    } catch (error) {
      byId("trial-text").textContent = error.message;
    }
  }
}
