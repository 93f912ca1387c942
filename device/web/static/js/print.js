// One sheet of paper per count: picture, count, interval, warnings, how it was counted, who corrected it.
import * as api from "./api.js";
import { byId, element, pairs } from "./dom.js";
import { dated, interval, number, person, plural, regionWords, significant } from "./format.js";
import { holding } from "./cells.js";

function regionText(one) {
  const { cells, size, density } = regionWords(one);
  return `${one.name}: ${cells}, ${size}, ${density}`;
}

function figures(count) {
  const made = holding(count.corrections).filter((one) => one.action !== "confirm");
  const names = [...new Set(made.map((one) => person(one.who)))].join(", ");
  const corrected = made.length ? `${plural(made.length, "correction")} by ${names}; automatic ${number(count.count)}` : "none";
  return pairs([
    ["90 % interval of the automatic count", interval(count.interval)],
    ["Corrections by hand", corrected],
    ["Regions", (count.regions ?? []).map(regionText).join("; ")],
    ["Reviewed", count.reviewed ? `by ${count.reviewed_by}, ${dated(count.reviewed)}` : "no"],
    ["Assay", count.assay?.name ?? (typeof count.assay === "string" ? count.assay : null)],
    ["Model", `${count.model.name} ${count.model.version}, threshold ${number(count.threshold, 3)}, cell diameter ${significant(count.cell_diameter_px)} px`],
    ["Image", `${count.image}, ${number(count.width)} × ${number(count.height)} px${count.pixel_size_um ? `, ${significant(count.pixel_size_um)} µm per pixel` : ", pixel size unknown"}`],
    ["Taken", dated(count.created)],
    ["Notes", count.notes],
    ["Software", `fluocount ${count.software}`],
  ]);
}

/** Build the sheet; the picture is asked for anew, so that it shows the corrections of this moment. */
async function build(shownCount) {
  // The numbers in the regions follow corrections that were made since.
  const { regions } = await api.get(api.countPath(shownCount.id, "/regions"));
  const count = { ...shownCount, regions };
  const picture = element("img", { alt: "", src: api.url(api.countPath(count.id, "/overlay.jpg"), { at: Date.now() }) });
  const shown = count.corrected_count ?? count.count;
  byId("print-sheet").replaceChildren(
    element("h1", {}, count.sample || count.image),
    element("p", { class: "print-count" }, element("strong", {}, number(shown)), ` ${shown === 1 ? "cell" : "cells"}`),
    element("ul", {}, ...(count.flags ?? []).map((flag) => element("li", {}, `Warning: ${flag.text}`))),
    picture,
    element("dl", {}, ...figures(count)),
  );
  await picture.decode();
}

/** Prints by button and by Ctrl+P: the browser's own way would not wait for the picture. */
export function offerPrinting(present, say) {
  async function print() {
    try {
      await build(present());
      window.print();
    } catch (error) {
      say(`This cannot be printed: ${error.message}`);
    }
  }
  byId("print").addEventListener("click", print);
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "p" && present()) { event.preventDefault(); print(); }
  });
}
