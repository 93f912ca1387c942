// What stands still in a view: painted once with a margin around the window, then only moved, dot by dot.
// Painting a large image with its outlines and rings costs tens of milliseconds, moving what is painted one or two.

/** Of the window, on each side; more would be painted in vain, less is left too soon. */
const MARGIN = 0.3;
/** While a zoom goes on, the picture of another scale is stretched up to so much, and painted sharp when it ends. */
const MOST_STRETCH = 2;
const SETTLED_MS = 120;

/** A view of a larger box around the window; has what the painters ask a view for. */
function widened(view, [right, down]) {
  const { scale, size } = view;
  const [left, top] = [view.left + right, view.top + down];
  return {
    scale, size, left, top,
    box: { width: view.box.width + 2 * right, height: view.box.height + 2 * down },
    toScreen: ({ x, y }) => ({ x: (x + 0.5) * scale + left, y: (y + 0.5) * scale + top }),
  };
}

export class Still {
  /** paint(context, view) draws in CSS pixels; onSettled() when a zoom ended and a sharp picture is due. */
  constructor({ paint, onSettled }) {
    Object.assign(this, { paint, onSettled, painted: null, scale: null, timer: null });
    this.canvas = document.createElement("canvas");
  }

  /** Its content changed. */
  forget() { this.painted = null; }

  /** Draws it over everything in the context. */
  draw(context, view, dots) {
    if (view.scale !== this.scale) this.#wait();
    this.scale = view.scale;
    if (!this.#serves(view, dots)) this.#paint(view, dots);
    const { left, top, width, height } = this.#place(view);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "copy";
    // Whole dots: what is only moved stays sharp, and the browser copies instead of mixing.
    if (this.painted.scale === view.scale) context.drawImage(this.canvas, Math.round(left * dots), Math.round(top * dots));
    else context.drawImage(this.canvas, left * dots, top * dots, width * dots, height * dots);
    context.globalCompositeOperation = "source-over";
  }

  #wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.timer = null; this.onSettled(); }, SETTLED_MS);
  }

  /** Where the painted box lies in the window. */
  #place(view) {
    const { scale, left, top, box } = this.painted;
    const stretch = view.scale / scale;
    return { left: view.left - left * stretch, top: view.top - top * stretch, width: box.width * stretch, height: box.height * stretch };
  }

  #serves(view, dots) {
    // Other dots per pixel: the browser was zoomed, or the window went to another monitor.
    if (!this.painted || this.painted.dots !== dots) return false;
    const stretch = view.scale / this.painted.scale;
    if (stretch !== 1 && (this.timer === null || stretch > MOST_STRETCH)) return false;
    const { left, top, width, height } = this.#place(view);
    return left <= 0 && top <= 0 && left + width >= view.box.width && top + height >= view.box.height;
  }

  #paint(view, dots) {
    const wide = widened(view, [view.box.width, view.box.height].map((length) => Math.ceil(length * MARGIN)));
    // Setting the size clears it.
    this.canvas.width = Math.ceil(wide.box.width * dots);
    this.canvas.height = Math.ceil(wide.box.height * dots);
    const context = this.canvas.getContext("2d");
    context.setTransform(dots, 0, 0, dots, 0, 0);
    this.paint(context, wide);
    this.painted = { ...wide, dots };
  }
}
