// A whole study as one ZIP file, for other laboratories and programs.
import * as api from "./api.js";
import { byId, element, memory } from "./dom.js";
import { plural } from "./format.js";

const KINDS = [
  ["crate", "RO-Crate", "Everything, with reviews and reports; another fluocount opens it"],
  ["qupath", "QuPath", "Images and cells, with a script that reads them into QuPath"],
  ["coco", "COCO", "Images and cells for training and other programs"],
];
const licence = byId("licence");

/** path(rest) is the address of the study; found is the study with its images. */
export function showBundles(path, found) {
  byId("study-bundles").hidden = !found.images.length;
  licence.value = memory.read("licence") || "";
  const link = ([kind, name, title]) => {
    const href = () => api.url(path(`/${kind}.zip`), { licence: (kind === "crate" && licence.value.trim()) || undefined });
    const made = element("a", { class: "button small", href: href(), title, download: true }, `${name} (ZIP)`);
    made.addEventListener("click", () => { made.href = href(); });
    return made;
  };
  byId("bundles").replaceChildren(...KINDS.map(link));
  const waiting = found.images.filter((one) => one.waiting).length;
  const note = byId("bundles-note");
  note.hidden = !waiting;
  note.textContent = `${plural(waiting, "image")} of the study ${waiting === 1 ? "is" : "are"} not counted yet. The RO-Crate can be made when all are; COCO and QuPath leave them out.`;
}

licence.addEventListener("change", () => memory.write("licence", licence.value.trim()));
