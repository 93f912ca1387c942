// The place of an image in its study, by hand.
import * as api from "./api.js";
import { byId, element } from "./dom.js";

export const PLACE = ["group", "subject", "slice", "region"];
const dialog = byId("place-dialog");
let open = null;

/** The study's groups are offered wherever a group is typed. */
export function offerGroups(study) {
  byId("known-groups").replaceChildren(...study.groups.map((name) => element("option", { value: name })));
}

/** path(rest) is the address of the study; done() is called when the place is stored. */
export function changePlace(image, path, done) {
  open = { image, path, done };
  byId("place-title").textContent = image.image;
  byId("place-note").hidden = true;
  for (const name of PLACE) byId(`place-${name}`).value = image.place[name];
  dialog.showModal();
}

byId("place-cancel").addEventListener("click", () => dialog.close());
byId("place-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { image, path, done } = open;
  const place = Object.fromEntries(PLACE.map((name) => [name, byId(`place-${name}`).value.trim()]));
  try {
    await api.post(path("/images"), { places: [{ id: image.id, ...place }] });
    dialog.close();
    done();
  } catch (error) {
    byId("place-note").hidden = false;
    byId("place-note").textContent = error.message;
  }
});
