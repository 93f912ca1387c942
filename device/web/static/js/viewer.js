// A canvas that zooms and pans an image by wheel, pinch, drag and keys; `paintStill` draws what belongs to the image,
// `paint` what follows the pointer.
// Image coordinates: x right, y down, the centre of the top-left pixel is (0, 0).
import { Gestures } from "./gestures.js";
import { Still } from "./still.js";

const MOST = 40;
const KEY_STEP_PX = 60;

export class Viewer {
  /** paintStill and paint(context, view) draw in CSS pixels; onPick(point), onHover(point or null), onMove(view). */
  constructor(canvas, { paintStill, paint, onPick, onHover, onMove }) {
    Object.assign(this, { canvas, paint, onPick, onHover, onMove });
    this.still = new Still({ paint: paintStill, onSettled: () => this.retouch() });
    this.context = canvas.getContext("2d");
    this.size = { width: 1, height: 1 };
    this.box = { width: 1, height: 1 };
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    this.fitted = true;
    this.pending = false;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#watchDots();
    this.gestures = new Gestures(canvas, this);
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Measures at once: a click must not be read in the size that the canvas had before it was shown. */
  setImageSize(width, height) {
    this.size = { width, height };
    this.fitted = true;
    this.#resize();
  }

  toImage({ x, y }) {
    return { x: (x - this.left) / this.scale - 0.5, y: (y - this.top) / this.scale - 0.5 };
  }

  toScreen({ x, y }) {
    return { x: (x + 0.5) * this.scale + this.left, y: (y + 0.5) * this.scale + this.top };
  }

  get centre() { return { x: this.box.width / 2, y: this.box.height / 2 }; }

  get #fitScale() {
    return Math.min(this.box.width / this.size.width, this.box.height / this.size.height);
  }

  fit() {
    this.scale = this.#fitScale;
    this.left = (this.box.width - this.size.width * this.scale) / 2;
    this.top = (this.box.height - this.size.height * this.scale) / 2;
    this.fitted = true;
    this.redraw();
  }

  zoom(factor, at = this.centre) {
    const scale = Math.min(MOST, Math.max(this.#fitScale * 0.8, this.scale * factor));
    const ratio = scale / this.scale;
    this.left = at.x - (at.x - this.left) * ratio;
    this.top = at.y - (at.y - this.top) * ratio;
    this.scale = scale;
    this.fitted = false;
    this.#hold();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.fitted = false;
    this.#hold();
  }

  /** Move an image point to the middle, zoomed in enough to judge it. */
  show(point, spanPx) {
    this.scale = Math.min(MOST, Math.max(this.scale, Math.min(this.box.width, this.box.height) / spanPx));
    this.left = this.box.width / 2 - (point.x + 0.5) * this.scale;
    this.top = this.box.height / 2 - (point.y + 0.5) * this.scale;
    this.fitted = false;
    this.#hold();
  }

  pick(at) { this.onPick(this.toImage(at)); }

  hover(at) { this.onHover(at && this.toImage(at), at); }

  /** Keep part of the image in view. */
  #hold() {
    const keep = (start, length, room) => Math.min(room / 2, Math.max(room / 2 - length, start));
    this.left = keep(this.left, this.size.width * this.scale, this.box.width);
    this.top = keep(this.top, this.size.height * this.scale, this.box.height);
    this.retouch();
  }

  /** Something of the image changed: paint everything anew. */
  redraw() {
    this.still.forget();
    this.retouch();
  }

  /** Only the place of the image changed, or what follows the pointer. */
  retouch() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.#draw(); });
  }

  #draw() {
    if (!this.box.width || !this.box.height) return; // hidden: there is nothing to draw on
    // Painted for other dots per pixel, nothing would lie where a click is read.
    if (this.dots !== window.devicePixelRatio) { this.#resize(); return; }
    this.still.draw(this.context, this, this.dots);
    this.context.setTransform(this.dots, 0, 0, this.dots, 0, 0);
    this.paint(this.context, this);
    this.onMove(this);
  }

  #resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    this.dots = window.devicePixelRatio;
    this.box = { width, height };
    this.canvas.width = Math.round(width * this.dots);
    this.canvas.height = Math.round(height * this.dots);
    if (this.fitted) this.fit();
    else this.#hold();
  }

  /** A window that goes to another monitor keeps its size: no observer tells, only the dots per pixel change. */
  #watchDots() {
    const same = matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    same.addEventListener("change", () => { this.#watchDots(); this.#resize(); }, { once: true });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? KEY_STEP_PX / 6 : KEY_STEP_PX;
    const keys = {
      "+": () => this.zoom(1.3), "=": () => this.zoom(1.3), "-": () => this.zoom(1 / 1.3), 0: () => this.fit(),
      ArrowLeft: () => this.pan(step, 0), ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step), ArrowDown: () => this.pan(0, -step),
      Enter: () => this.pick(this.centre), " ": () => this.pick(this.centre),
    };
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
    this.hover(this.centre);
  }
}
