// Outlines as one layer: one pixel wide in the image, at least two on the screen, with a dark rim to show on bright cells.
// A layer is made once for each width and kept, so that a view that moves and zooms only draws pictures.

const LEAST_SCREEN_PX = 1.7;

function blank(source) {
  const canvas = document.createElement("canvas");
  canvas.width = source.width;
  canvas.height = source.height;
  return canvas;
}

/** Every line `width` pixels wide, to the right and below: each step doubles what is there. */
function widened(source, width) {
  const canvas = blank(source);
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0);
  for (let done = 1; done < width;) {
    const step = Math.min(done, width - done);
    context.drawImage(canvas, step, 0);
    context.drawImage(canvas, 0, step);
    done += step;
  }
  return canvas;
}

function blackened(canvas) {
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = "source-in";
  context.fillStyle = "#000000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

/** How wide a line of the image must be so that it is seen at this scale. */
const widthFor = (scale) => Math.max(1, Math.ceil(LEAST_SCREEN_PX / scale));

/** Layers of so many pixels together are kept: 128 MB. The usual scales take two or three. */
const KEPT_PX = 32e6;

export class Outlines {
  constructor(source) {
    this.source = source;
    this.layers = new Map();
  }

  /** The picture to draw at this scale. */
  at(scale) {
    const width = widthFor(scale);
    if (width === 1) return this.source;
    if (!this.layers.has(width)) this.#keep(width, this.#drawn(width));
    return this.layers.get(width);
  }

  #keep(width, layer) {
    const most = Math.max(1, Math.floor(KEPT_PX / (layer.width * layer.height)));
    // The oldest goes first.
    while (this.layers.size >= most) this.layers.delete(this.layers.keys().next().value);
    this.layers.set(width, layer);
  }

  #drawn(width) {
    const rim = Math.ceil(width / 2);
    const layer = blank(this.source);
    const context = layer.getContext("2d");
    context.drawImage(blackened(widened(this.source, width + 2 * rim)), -rim - Math.floor(width / 2), -rim - Math.floor(width / 2));
    context.drawImage(widened(this.source, width), -Math.floor(width / 2), -Math.floor(width / 2));
    return layer;
  }
}
