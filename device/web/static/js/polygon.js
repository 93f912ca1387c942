// A polygon drawn by clicks; the count of cells whose centre lies inside.
import { area, inside } from "./cells.js";
import { byId, element, pairs } from "./dom.js";
import { number, plural, significant } from "./format.js";

const CLOSE_PX = 12;

export class Polygon {
  constructor(onChange) {
    this.onChange = onChange;
    this.points = [];
    this.closed = false;
    this.next = null;
    byId("polygon-clear").addEventListener("click", () => this.clear());
  }

  clear() {
    this.points = [];
    this.closed = false;
    this.next = null;
    this.onChange();
  }

  /** A click adds a corner; a click on the first corner closes the polygon. */
  add(point, view) {
    if (this.closed) this.points = [];
    this.closed = false;
    const first = this.points[0];
    const [a, b] = [view.toScreen(point), first && view.toScreen(first)];
    if (this.points.length >= 3 && Math.hypot(a.x - b.x, a.y - b.y) < CLOSE_PX) this.close();
    else this.points.push(point);
    this.onChange();
  }

  close() {
    if (this.points.length < 3) return false;
    this.closed = true;
    this.next = null;
    this.onChange();
    return true;
  }

  back() {
    if (this.closed) this.closed = false;
    else this.points.pop();
    this.onChange();
  }

  hover(point) {
    if (this.closed || !this.points.length) return;
    this.next = point;
  }

  read(scene, result, toolActive) {
    const panel = byId("polygon-panel");
    panel.hidden = !toolActive && !this.points.length;
    if (panel.hidden) return;
    const reading = byId("polygon-reading");
    if (!this.closed) {
      const help = this.points.length < 3
        ? "Click the corners in the image."
        : "Click the first corner, double-click or press C to close; Backspace removes the last corner.";
      reading.replaceChildren(element("p", { class: "hint" }, help));
      return;
    }
    reading.replaceChildren(...this.#reading(scene, result));
  }

  #reading(scene, result) {
    const cells = [...scene.counted, ...scene.added].filter((cell) => inside(this.points, cell)).length;
    const pixels = area(this.points);
    const edge = result.pixel_size_um;
    const size = edge ? `${significant((pixels * edge * edge) / 1e6)} mm²` : `${number(pixels)} px²`;
    const density = edge ? `${significant(cells / ((pixels * edge * edge) / 1e6))} per mm²` : `${significant((cells / pixels) * 1e6)} per million px²`;
    return [
      element("p", { class: "number" }, element("strong", { id: "polygon-count" }, number(cells)), element("em", {}, `of ${plural(scene.counted.length + scene.added.length, "cell")}`)),
      element("dl", { class: "pairs" }, ...pairs([["Area", size], ["Density", density]])),
    ];
  }
}
