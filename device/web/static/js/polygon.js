// A polygon drawn by clicks; the count of cells whose centre lies inside.
import { crossesItself } from "./cells.js";
import { byId, element, pairs } from "./dom.js";
import { number, plural } from "./format.js";
import { readingOf } from "./regions.js";

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

  /** Closed, and without crossings. */
  get usable() { return this.closed && !crossesItself(this.points); }

  /** A click adds a corner, on the edge where it is outside; a click on the first corner closes the polygon. */
  add(outside, view) {
    const { width, height } = view.size;
    const point = { x: Math.min(width - 0.5, Math.max(-0.5, outside.x)), y: Math.min(height - 0.5, Math.max(-0.5, outside.y)) };
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
    byId("polygon-clear").hidden = !this.points.length;
    const reading = byId("polygon-reading");
    reading.hidden = !toolActive && !this.points.length;
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
    if (!this.usable) return [element("p", { class: "hint" }, "The sides cross each other, so it is unclear what is inside. Clear it, or take corners back with Backspace.")];
    const { count, size, density } = readingOf(this.points, scene, result);
    return [
      element("p", { class: "number" }, element("strong", { id: "polygon-count" }, number(count)), element("em", {}, `of ${plural(scene.counted.length + scene.added.length, "cell")}`)),
      element("dl", { class: "pairs" }, ...pairs([["Area", size], ["Density", density]])),
    ];
  }
}
