// Pointers to zoom, pan, pick and hover: one finger or button drags, two pinch, a short still press picks.

const STILL_PX = 6;
const DOUBLE_MS = 350;

export class Gestures {
  constructor(canvas, viewer) {
    this.viewer = viewer;
    this.canvas = canvas;
    this.down = new Map();
    this.moved = false;
    this.lastTap = 0;
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#release(event));
    canvas.addEventListener("pointercancel", (event) => this.#forget(event));
    canvas.addEventListener("pointerleave", () => { if (!this.down.size) viewer.hover(null); });
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 18 : 1;
    this.viewer.zoom(Math.exp(-event.deltaY * lines * 0.0016), this.#at(event));
  }

  #press(event) {
    if (event.button !== 0) return;
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, this.#at(event));
    if (this.down.size === 1) { this.moved = false; this.start = this.#at(event); }
    else this.moved = true;
  }

  #move(event) {
    const at = this.#at(event);
    const before = this.down.get(event.pointerId);
    if (!before) { this.viewer.hover(at); return; }
    if (this.down.size >= 2) this.#pinch(event.pointerId, before, at);
    else this.#drag(before, at);
  }

  #drag(before, at) {
    if (!this.moved && Math.hypot(at.x - this.start.x, at.y - this.start.y) < STILL_PX) return;
    this.moved = true;
    this.canvas.parentElement.dataset.dragging = "";
    this.viewer.hover(null);
    this.viewer.pan(at.x - before.x, at.y - before.y);
    this.down.set([...this.down.keys()][0], at);
  }

  #pinch(id, before, at) {
    const other = [...this.down].find(([key]) => key !== id)[1];
    const span = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
    this.viewer.zoom(span(at) / span(before), { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 });
    this.viewer.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
    this.down.set(id, at);
  }

  #release(event) {
    const known = this.down.has(event.pointerId);
    this.#forget(event);
    if (!known || this.moved || this.down.size) return;
    const at = this.#at(event);
    const now = event.timeStamp;
    const double = now - this.lastTap < DOUBLE_MS;
    this.lastTap = double ? 0 : now;
    if (double && this.viewer.onDouble?.(this.viewer.toImage(at))) return;
    this.viewer.pick(at);
    this.viewer.hover(at);
  }

  #forget(event) {
    this.down.delete(event.pointerId);
    delete this.canvas.parentElement.dataset.dragging;
  }
}
