// Numbers, times and sizes for people.

export const number = (value, digits = 0) =>
  (value === null || value === undefined || Number.isNaN(value) ? "–" : Number(value).toLocaleString("en-GB", {
    minimumFractionDigits: digits, maximumFractionDigits: digits,
  }));

/** Three significant digits. */
export const significant = (value) => (value === null || value === undefined ? "–" : Number(value).toLocaleString("en-GB", { maximumSignificantDigits: 3 }));

export const percent = (fraction, digits = 0) => `${number(fraction * 100, digits)} %`;

/** pair: lowest and highest number of cells; no highest one where none can be promised. */
export function interval(pair) {
  if (!pair) return "";
  const [low, high] = pair;
  if (high !== null) return `${number(low)} to ${number(high)}`;
  return low ? `at least ${number(low)}` : "range not known";
}

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** Who did something; without a name the instrument notes that it came from the page. */
export const person = (who) => (!who || who === "page" ? "someone" : who);

/** A region in words; in millimetres where the pixel size is known. */
export function regionWords({ count, area_px: pixels, area_mm2: mm2 }) {
  return {
    cells: plural(count, "cell"),
    size: mm2 === null ? `${number(pixels)} px²` : `${significant(mm2)} mm²`,
    density: mm2 === null ? `${significant((count / pixels) * 1e6)} per million px²` : `${significant(count / mm2)} per mm²`,
  };
}

export function megabytes(bytes) {
  return bytes < 1e5 ? `${number(bytes / 1e3)} kB` : `${number(bytes / 1e6, bytes < 1e7 ? 1 : 0)} MB`;
}

export const fromMegabytes = (mb) => (mb >= 10000 ? `${number(mb / 1000, 1)} GB` : `${number(mb)} MB`);

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 1) return "a moment";
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${number(seconds / 3600, 1)} h`;
  return `${number(seconds / 86400)} days`;
}

/** Exposures: 2.5 s, 100 ms, 250 µs. */
export function exposure(seconds) {
  if (seconds >= 1) return `${significant(seconds)} s`;
  if (seconds >= 0.001) return `${significant(seconds * 1000)} ms`;
  return `${significant(seconds * 1e6)} µs`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export const time = (date) => clock.format(date);

/** With its day: for paper, on which "today" is soon wrong. */
export function dated(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? String(text ?? "") : `${day.format(date)} ${clock.format(date).slice(0, 5)}`;
}

export function moment(text) {
  const date = new Date(text);
  const today = new Date().toDateString() === date.toDateString();
  return today ? `today ${clock.format(date)}` : dated(text);
}
