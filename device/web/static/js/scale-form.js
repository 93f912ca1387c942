// The length of a line along a scale bar or a stage micrometer gives the size of a pixel, for an objective or an assay.
import * as api from "./api.js";
import { author, byId, element } from "./dom.js";
import { significant } from "./format.js";

export class ScaleForm {
  /** line() is its length in pixels, assay() the name of the one that gets it without an objective; onSaved(name or ""). */
  constructor(prefix, { line, assay, say, onSaved }) {
    Object.assign(this, { line, assay, say, onSaved, agreed: "" });
    this.field = byId(`${prefix}-objective`);
    this.length = byId(`${prefix}-um`);
    this.known = byId(`${prefix}-objectives`);
    byId(`${prefix}-form`).addEventListener("submit", (event) => { event.preventDefault(); this.#save(); });
    this.offer();
  }

  /** Names to choose from; another one is new. */
  async offer() {
    try {
      const { objectives } = await api.get("/objectives");
      this.known.replaceChildren(...objectives.map((one) => element("option", { value: one.name })));
    } catch { /* a name can be typed */ }
  }

  async #save() {
    const size = Number((Number(this.length.value) / this.line()).toPrecision(6));
    if (!(size > 0) || !Number.isFinite(size)) { this.say("Draw along the scale and enter its length."); return; }
    const name = this.field.value.trim();
    try {
      if (name) await this.#forObjective(name, size);
      else await this.#forAssay(size);
    } catch (error) {
      this.agreed = error.status === 409 ? name : "";
      this.say(this.agreed ? `${error.message} Or press Save once more: then it has ${significant(size)}.` : error.message);
    }
  }

  /** One that is there is measured again only when a person says so twice. */
  async #forObjective(name, size) {
    const again = this.agreed === name;
    const { changed } = await api.post("/objectives", { name, pixel_size_um: size, new: !again, who: author() });
    this.agreed = "";
    const follow = changed.length ? ` These assays follow: ${changed.join(", ")}.` : "";
    this.say(`Saved: ${name} has ${significant(size)} µm per pixel.${follow}`);
    await this.offer();
    await this.onSaved(name);
  }

  async #forAssay(size) {
    const assay = await api.get(`/assays/${encodeURIComponent(this.assay())}`);
    const saved = await api.post("/assays", { assay: { ...assay, pixel_size_um: size }, who: author() });
    this.say(`Saved: ${significant(size)} µm per pixel in the assay ${saved.name}, version ${saved.version}.`);
    await this.onSaved("");
  }
}
