// Count again with another assay or diameter, the versions of a count, and points made in another program.
import * as api from "./api.js";
import { offerAssays } from "./assay-choice.js";
import { byId, element, memory } from "./dom.js";
import { moment, number, plural, significant } from "./format.js";
import { offerObjectives } from "./objective-choice.js";
import { keepPossible } from "./possible.js";
import { countPage } from "./root.js";

const say = (text) => { byId("again-note").textContent = text; };

function showVersions(count) {
  const others = (count.recounts ?? []).filter((one) => one.id !== count.id);
  byId("versions").replaceChildren(...others.map((one) => element("li", {}, element("a", { href: countPage(one.id) },
    [one.assay, one.cell_diameter_px && `${significant(one.cell_diameter_px)} px`, moment(one.created)].filter(Boolean).join(", ")),
    ` ${one.status === "done" ? plural(one.corrected_count, "cell") : one.status}`)));
}

/** onPoints is called with the answer when points became corrections. */
export function offerAgain(id, onPoints) {
  keepPossible(byId("again-form"), say);
  const assays = offerAssays("again-assay", null);
  offerObjectives("again-objective", "as before");
  byId("again-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const diameter = Number(byId("again-diameter").value);
    const objective = byId("again-objective").value;
    try {
      const answer = await api.post("/recounts", {
        ids: [id], assay: byId("again-assay").value, ...(diameter ? { cell_diameter_px: diameter } : {}), ...(objective ? { objective } : {}),
      });
      if (answer.accepted.length) location.assign(countPage(answer.accepted[0].id));
      else say(answer.problems.join(" "));
    } catch (error) {
      say(error.message);
    }
  });
  byId("points-file").addEventListener("change", async (event) => {
    const form = new FormData();
    form.set("points", event.target.files[0]);
    form.set("who", memory.read("who"));
    event.target.value = "";
    try {
      onPoints(await api.sendForm(api.countPath(id, "/points"), form));
      say("The points are the cells now; Undo takes them back one by one.");
    } catch (error) {
      say(error.message);
    }
  });
  return async (count) => {
    byId("again").hidden = false;
    showVersions(count);
    await assays;
    if (count.assay) byId("again-assay").value = count.assay.name;
    byId("again-diameter").placeholder = `${number(count.cell_diameter_px, 1)} now`;
  };
}
