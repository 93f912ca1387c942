// The choice of an assay: a plain field, filled from the instrument, that remembers the last choice.
import * as api from "./api.js";
import { byId, element, memory } from "./dom.js";

/** Fills the field; without an answer it stays empty, and the instrument uses its default. */
export async function offerAssays(id, remembered = "assay") {
  const field = byId(id);
  try {
    const answer = await api.get("/assays");
    field.replaceChildren(...answer.assays.map((assay) => element("option", { value: assay.name, title: assay.about },
      assay.taught_frames ? `${assay.name} (taught by ${assay.taught_frames} images)` : assay.name)));
    const last = remembered && memory.read(remembered);
    field.value = answer.assays.some((assay) => assay.name === last) ? last : answer.default;
    if (remembered) field.addEventListener("change", () => memory.write(remembered, field.value));
    return answer.assays;
  } catch {
    return [];
  }
}
