// A line across a cell gives its diameter, a line along a scale bar the size of a pixel.
import { byId, element } from "./dom.js";
import { significant } from "./format.js";
import { Line } from "./line.js";
import { offerObjectives } from "./objective-choice.js";
import { ScaleForm } from "./scale-form.js";

/** What was measured is offered for counting again. */
async function offerAgain(objective) {
  if (objective) {
    await offerObjectives("again-objective", "as before");
    byId("again-objective").value = [...byId("again-objective").options].find((one) => one.value.toLowerCase() === objective.toLowerCase())?.value ?? "";
  }
  byId("measure-note").append(" Count again to use it.");
}

export class Measure extends Line {
  constructor(onChange) {
    super();
    Object.assign(this, { onChange, diameter: null });
    byId("measure-diameter").addEventListener("click", () => this.#useDiameter());
    byId("measure-clear").addEventListener("click", () => this.clear());
    this.scale = new ScaleForm("measure", {
      line: () => this.length,
      assay: () => byId("again-assay").value,
      say: (text) => { byId("measure-note").textContent = text; },
      onSaved: (objective) => offerAgain(objective),
    });
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
}
