// The choice of an objective: a plain field, filled from the instrument's list.
import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { significant } from "./format.js";

/** An objective in words: "20x/0.75, 0.65 µm per pixel". */
export const inWords = (one) => `${one.name}, ${significant(one.pixel_size_um)} µm per pixel`;

/** Fills the field, below what it means to choose none; keeps the choice. Without an answer only that can be chosen. */
export async function offerObjectives(id, ...none) {
  const field = byId(id);
  const chosen = field.value;
  const first = none.map((text) => element("option", { value: "" }, text));
  let found = [];
  try {
    found = (await api.get("/objectives")).objectives;
  } catch { /* the other calls of the page say why */ }
  field.replaceChildren(...first, ...found.map((one) => element("option", { value: one.name }, inWords(one))));
  if (found.some((one) => one.name === chosen)) field.value = chosen;
  return found;
}
