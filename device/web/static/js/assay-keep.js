// What was chosen for some images is kept as an assay, so that it is chosen by its name from then on.
import * as api from "./api.js";
import { offerAssays } from "./assay-choice.js";
import { author, byId, memory } from "./dom.js";

const READING = ["channel", "project", "z", "t", "scene", "full_scale"];
const WHOLE = new Set(["z", "t", "scene", "full_scale"]);

/** The assay with the options of an upload in it. */
function withOptions(assay, options) {
  const given = Object.entries(options).filter(([, value]) => value);
  const chosen = Object.fromEntries(given.map(([name, value]) => [name, WHOLE.has(name) ? Number(value) : value]));
  const reading = Object.fromEntries(READING.filter((name) => name in chosen).map((name) => [name, chosen[name]]));
  // One picture of a stack is either a plane or a projection.
  const other = { ...(reading.project ? { z: null, page: null } : {}), ...(reading.z ? { project: null } : {}) };
  return {
    ...assay,
    reading: { ...assay.reading, ...other, ...reading },
    ...(chosen.cell_diameter_px ? { cell_diameter_px: Number(chosen.cell_diameter_px), cell_diameter_um: null } : {}),
    ...(chosen.threshold ? { threshold: Number(chosen.threshold) } : {}),
    ...(chosen.exclude_border ? { exclude_border: true } : {}),
    ...(chosen.objective ? { objective: chosen.objective, pixel_size_um: null } : {}),
  };
}

export class KeepAssay {
  /** options() are those of the upload with the size that was drawn; onKept(name) is called when the assay is saved. */
  constructor({ options, onKept }) {
    Object.assign(this, { options, onKept, agreed: "" });
    byId("look-keep-form").addEventListener("submit", (event) => { event.preventDefault(); this.#save(); });
  }

  say(text) {
    byId("look-keep-note").textContent = text;
  }

  /** One that is there gets a new version only when a person says so twice. */
  async #save() {
    const name = byId("look-keep-name").value.trim();
    const options = this.options();
    const known = [...byId("assay").options].map((one) => one.value);
    if (known.includes(name) && this.agreed !== name) {
      this.agreed = name;
      this.say(`There is an assay ${name} already. Press Save once more to change it, or give another name.`);
      return;
    }
    this.agreed = "";
    try {
      const base = await api.get(`/assays/${encodeURIComponent(known.includes(name) ? name : options.assay)}`);
      const saved = await api.post("/assays", { assay: { ...withOptions(base, options), name }, who: author() });
      memory.write("assay", saved.name);
      await offerAssays("assay");
      byId("assay").value = saved.name;
      this.onKept(saved.name);
      this.say(`${saved.name}, version ${saved.version}, is saved. These images are counted with it.`);
    } catch (error) {
      this.say(error.message);
    }
  }
}
