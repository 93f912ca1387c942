// A line across a cell gives its diameter, a line along a scale bar the size of a pixel.
import * as api from "./api.js";
import { byId, element, memory } from "./dom.js";
import { significant } from "./format.js";
import { Line } from "./line.js";

export class Measure extends Line {
  constructor(onChange) {
    super();
    Object.assign(this, { onChange, diameter: null });
    byId("measure-diameter").addEventListener("click", () => this.#useDiameter());
    byId("measure-clear").addEventListener("click", () => this.clear());
    byId("measure-form").addEventListener("submit", (event) => { event.preventDefault(); this.#saveScale(); });
  }

  clear() {
    super.clear();
    this.diameter = null;
    byId("measure-note").textContent = "";
    this.onChange();
  }

  add(point) {
    super.add(point);
    this.diameter = null;
    this.onChange();
  }

  read(result, toolActive) {
    byId("measure-panel").hidden = !toolActive && !this.points.length;
    const ready = this.length > 0;
    byId("measure-actions").hidden = !ready;
    const edge = result.pixel_size_um;
    byId("measure-reading").replaceChildren(ready
      ? element("p", { class: "number" }, element("strong", {}, `${significant(this.length)} px`), edge && element("em", {}, `${significant(this.length * edge)} µm`))
      : element("p", { class: "hint" }, "Click both ends of a typical cell, or of a scale bar."));
  }

  /** Circles of that size on every cell show whether it fits, before anything is counted. */
  #useDiameter() {
    this.diameter = this.length;
    byId("again-diameter").value = Math.round(this.length * 10) / 10;
    byId("measure-note").textContent = "The circles have this size. If they fit the cells, press Count again.";
    this.onChange();
  }

  async #saveScale() {
    const size = Number(byId("measure-um").value) / this.length;
    const note = byId("measure-note");
    if (!(size > 0) || !Number.isFinite(size)) { note.textContent = "Draw along the scale bar and enter its length."; return; }
    const name = byId("again-assay").value;
    try {
      const assay = await api.get(`/assays/${encodeURIComponent(name)}`);
      const saved = await api.post("/assays", { assay: { ...assay, pixel_size_um: Number(size.toPrecision(6)) }, who: memory.read("who") || "page" });
      note.textContent = `Saved: ${significant(size)} µm per pixel in the assay ${saved.name}, version ${saved.version}. Count again to use it.`;
    } catch (error) {
      note.textContent = error.message;
    }
  }
}
