// How the picture is shown: brightness, contrast, one channel. The stored image and its count never change.

const CHANNELS = { all: null, red: 0, green: 1, blue: 2 };
export const PLAIN = { brightness: 1, contrast: 0, channel: "all" };

const isPlain = ({ brightness, contrast, channel }) => brightness === 1 && contrast === 0 && channel === "all";

/** 256 values: `brightness` multiplies, `contrast` (0 to 0.9) is the share of the range that becomes black. */
export function curve({ brightness, contrast }) {
  return Uint8ClampedArray.from({ length: 256 }, (_, value) => (value * brightness - 255 * contrast) / (1 - contrast));
}

/** The picture as a canvas to draw; made once for each setting, not in each frame. */
export function shownAs(source, wish) {
  if (isPlain(wish)) return source;
  const canvas = document.createElement("canvas");
  canvas.width = source.width;
  canvas.height = source.height;
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height);
  const bytes = data.data;
  const table = curve(wish);
  const only = CHANNELS[wish.channel];
  for (let at = 0; at < bytes.length; at += 4) {
    if (only === null) {
      bytes[at] = table[bytes[at]];
      bytes[at + 1] = table[bytes[at + 1]];
      bytes[at + 2] = table[bytes[at + 2]];
    } else bytes.fill(table[bytes[at + only]], at, at + 3);
  }
  context.putImageData(data, 0, 0);
  return canvas;
}
