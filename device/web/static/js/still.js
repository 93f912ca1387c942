// What stands still in a view: painted once with a margin around the window, then only moved, dot by dot.
// Painting a large image with its outlines and rings costs tens of milliseconds, moving what is painted one or two.
// While a zoom goes on, what is painted is stretched; where it does not reach, the whole image stands in, painted
// small when the zoom began. The sharp picture follows when the zoom rests.

/** Of the window, on each side; more would be painted in vain, less is left too soon. */
const MARGIN = 0.3;
/** Up to so much a picture of another scale is stretched before it is painted anew in the middle of a zoom ... */
const MOST_STRETCH = 2;
/** ... but not more often than this: at two a second a slow computer still shows thirty frames. */
const LEAST_APART_MS = 500;
const SETTLED_MS = 120;

/** A view of a larger box around the window; has what the painters ask a view for. */
function widened(view, [right, down]) {
  const box = { width: view.box.width + 2 * right, height: view.box.height + 2 * down };
  return placed(view.size, view.scale, [view.left + right, view.top + down], box);
}

/** A view of the whole image, as large as the window allows. */
function fitted({ size, box }) {
  const scale = Math.min(box.width / size.width, box.height / size.height);
  return placed(size, scale, [0, 0], { width: size.width * scale, height: size.height * scale });
}

const placed = (size, scale, [left, top], box) => ({
  size, scale, left, top, box,
  toScreen: ({ x, y }) => ({ x: (x + 0.5) * scale + left, y: (y + 0.5) * scale + top }),
});

/** A view and the canvas with what is seen in it. */
class Painted {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.forget();
  }

  forget() { this.view = null; }

  paint(paint, view, dots) {
    // Setting the size clears it.
    this.canvas.width = Math.ceil(view.box.width * dots);
    this.canvas.height = Math.ceil(view.box.height * dots);
    const context = this.canvas.getContext("2d");
    context.setTransform(dots, 0, 0, dots, 0, 0);
    paint(context, view);
    Object.assign(this, { view, dots });
  }

  stretch(view) { return view.scale / this.view.scale; }

  /** Where the painted box lies in the window. */
  #place(view) {
    const stretch = this.stretch(view);
    const { left, top } = this.view;
    // The canvas ends on a whole dot, at times beyond the box.
    const [width, height] = [this.canvas.width, this.canvas.height].map((dots) => (dots / this.dots) * stretch);
    return { left: view.left - left * stretch, top: view.top - top * stretch, width, height };
  }

  covers(view) {
    const { left, top, width, height } = this.#place(view);
    return left <= 0 && top <= 0 && left + width >= view.box.width && top + height >= view.box.height;
  }

  draw(context, view) {
    const { left, top, width, height } = this.#place(view);
    // Whole dots: what is only moved stays sharp, and the browser copies instead of mixing.
    if (this.view.scale === view.scale) context.drawImage(this.canvas, Math.round(left * this.dots), Math.round(top * this.dots));
    else context.drawImage(this.canvas, ...[left, top, width, height].map((length) => length * this.dots));
  }
}

export class Still {
  /** paint(context, view) draws in CSS pixels; onSettled() when a zoom ended and a sharp picture is due. */
  constructor({ paint, onSettled }) {
    Object.assign(this, { paint, onSettled, scale: null, timer: null, last: 0 });
    this.near = new Painted();
    this.whole = new Painted();
  }

  /** Its content changed. */
  forget() {
    this.near.forget();
    this.whole.forget();
  }

  /** Draws it over everything in the context. */
  draw(context, view, dots) {
    if (this.scale !== null && view.scale !== this.scale) this.#wait();
    this.scale = view.scale;
    if (!this.#serves(view, dots)) this.#paintNear(view, dots);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "copy";
    if (!this.near.covers(view)) {
      this.#wholeOf(view, dots).draw(context, view);
      context.globalCompositeOperation = "source-over";
    }
    this.near.draw(context, view);
    context.globalCompositeOperation = "source-over";
  }

  #wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.timer = null; this.onSettled(); }, SETTLED_MS);
  }

  #serves(view, dots) {
    const { near } = this;
    // Other dots per pixel: the browser was zoomed, or the window went to another monitor.
    if (!near.view || near.dots !== dots) return false;
    const zooming = this.timer !== null;
    const stretch = near.stretch(view);
    if (stretch !== 1 && !zooming) return false;
    if (stretch <= MOST_STRETCH && near.covers(view)) return true;
    return zooming && performance.now() - this.last < LEAST_APART_MS;
  }

  #paintNear(view, dots) {
    this.near.paint(this.paint, widened(view, [view.box.width, view.box.height].map((length) => Math.ceil(length * MARGIN))), dots);
    this.last = performance.now();
  }

  #wholeOf(view, dots) {
    const { whole } = this;
    const wish = fitted(view);
    if (!whole.view || whole.dots !== dots || whole.view.scale !== wish.scale) whole.paint(this.paint, wish, dots);
    return whole;
  }
}
