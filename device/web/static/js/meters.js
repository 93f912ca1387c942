// Focus and saturation of the preview; the focus trace covers one minute.
import { byId, svg } from "./dom.js";
import { percent, significant } from "./format.js";

const KEPT = 60;
const WARN_FRACTION = 0.001;

export class Meters {
  constructor() {
    this.focus = [];
    this.best = 0;
    this.light = "";
    byId("focus-reset").addEventListener("click", () => this.#begin());
  }

  #begin() {
    this.focus = [];
    this.best = 0;
    this.#trace();
  }

  show(camera) {
    // More light makes a higher score: values before and after a change cannot be compared.
    const light = [camera.exposure_s, camera.gain, camera.red_gain, camera.blue_gain, camera.average_frames].join();
    if (this.light && light !== this.light) this.#begin();
    this.light = light;
    this.#showFocus(camera.focus_score);
    this.#showSaturation(camera.saturated_fraction);
  }

  #showFocus(score) {
    if (score === null || score === undefined) return;
    byId("focus-value").textContent = significant(score);
    this.focus.push(score);
    if (this.focus.length > KEPT) this.focus.shift();
    this.best = Math.max(this.best, score);
    this.#trace();
  }

  #trace() {
    const plot = byId("focus-trace");
    plot.setAttribute("viewBox", `0 0 ${KEPT} 34`);
    plot.setAttribute("preserveAspectRatio", "none");
    if (!this.focus.length) { plot.replaceChildren(); return; }
    const y = (value) => 32 - 30 * (this.best ? value / this.best : 0);
    const points = this.focus.map((value, at) => `${at + KEPT - this.focus.length},${y(value).toFixed(1)}`);
    plot.replaceChildren(
      svg("path", { class: "best", d: `M0,${y(this.best)}H${KEPT}` }),
      svg("path", { d: `M${points.join("L")}` }),
    );
  }

  #showSaturation(fraction) {
    const known = fraction !== null && fraction !== undefined;
    const high = known && fraction > WARN_FRACTION;
    byId("saturation-value").textContent = known ? percent(fraction, fraction < 0.1 ? 2 : 0) : "–";
    const bar = byId("saturation-bar");
    bar.dataset.level = high ? "warn" : "ok";
    // Square root: a few hundred saturated pixels must already be visible.
    bar.style.width = known ? `${Math.min(100, 100 * Math.sqrt(fraction))}%` : "0";
    const warning = byId("saturation-warning");
    warning.hidden = !high;
    if (high) {
      warning.textContent = `${percent(fraction, 2)} of the pixels are saturated: bright cells merge and intensities are wrong. Lower the exposure or the gain.`;
    }
  }
}
