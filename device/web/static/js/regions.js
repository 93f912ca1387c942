// Named regions of the image: polygons that are kept with the count, each with the cells inside.
import * as api from "./api.js";
import { area, inside } from "./cells.js";
import { byId, confirmed, element, memory, pairs, toast } from "./dom.js";
import { regionWords } from "./format.js";

/** What a polygon holds now, corrections included. */
export function readingOf(points, scene, result) {
  const count = [...scene.counted, ...scene.added].filter((cell) => inside(points, cell)).length;
  const pixels = area(points);
  const edge = result.pixel_size_um;
  return { count, ...regionWords({ count, area_px: pixels, area_mm2: edge ? (pixels * edge * edge) / 1e6 : null }) };
}

const cornersOf = (region) => region.points.map(([x, y]) => ({ x, y }));

export class Regions {
  /** onChanged({regions}) after each answer. */
  constructor(id, { polygon, onChanged }) {
    Object.assign(this, { id, polygon, onChanged, list: [], shown: "" });
    byId("region-form").addEventListener("submit", (event) => { event.preventDefault(); this.#keep(); });
  }

  /** With corners as {x, y}, as painters and readings want them. */
  take(regions) { this.list = (regions ?? []).map((one) => ({ ...one, corners: cornersOf(one) })); }

  show(scene, result) {
    byId("region-form").hidden = !this.polygon.usable;
    const readings = this.list.map((region) => ({ region, ...readingOf(region.corners, scene, result) }));
    const now = JSON.stringify(readings);
    const list = byId("region-list");
    // A name that is being typed is not taken away.
    if (now === this.shown || list.contains(document.activeElement)) return;
    this.shown = now;
    byId("region-hint").hidden = !readings.length;
    list.replaceChildren(...readings.map((one) => this.#item(one)));
  }

  #item({ region, cells, size, density }) {
    return element("li", {},
      element("input", { "aria-label": "Name of the region", value: region.name, maxlength: "60", autocomplete: "off", onchange: (event) => this.#rename(region, event.target) }),
      element("p", {}, element("strong", {}, cells)),
      element("dl", { class: "pairs" }, ...pairs([["Area", size], ["Density", density]])),
      element("button", { type: "button", class: "link", "aria-label": `Remove the region ${region.name}`, onclick: () => this.#remove(region) }, "remove"));
  }

  async #ask(call) {
    try {
      const { regions } = await call();
      document.activeElement?.closest("#region-list") && document.activeElement.blur();
      this.onChanged({ regions });
      return true;
    } catch (error) {
      toast(error.message, "fault");
      return false;
    }
  }

  async #keep() {
    const field = byId("region-name");
    const points = this.polygon.points.map(({ x, y }) => [x, y]);
    const who = memory.read("who");
    const kept = await this.#ask(() => api.post(api.countPath(this.id, "/regions"), { name: field.value, points, ...(who && { who }) }));
    if (!kept) return; // it is still drawn, and its name is still there
    field.value = "";
    this.polygon.clear();
  }

  async #rename(region, input) {
    const done = await this.#ask(() => api.patch(this.#path(region), { name: input.value }));
    if (!done) input.value = region.name;
  }

  async #remove(region) {
    if (!await confirmed("Remove this region?", `The region ${region.name} is removed from this image and its exports. Its cells stay counted.`)) return;
    await this.#ask(() => api.remove(this.#path(region)));
  }

  #path(region) { return api.countPath(this.id, `/regions/${encodeURIComponent(region.id)}`); }
}
