// The form of an assay: it shows what the chosen one holds, and gives it back with what a person changed.
import { byId } from "./dom.js";
import { offerObjectives } from "./objective-choice.js";

/** Where each number of the form stands in the assay; `factor`: the form's unit in that of the assay. */
const NUMBERS = [
  { id: "new-diameter-px", path: ["cell_diameter_px"] },
  { id: "new-diameter-um", path: ["cell_diameter_um"] },
  { id: "new-pixel", path: ["pixel_size_um"] },
  { id: "new-threshold", path: ["threshold"] },
  { id: "new-area", path: ["min_area_px"] },
  { id: "new-probability", path: ["least_probability"] },
  { id: "new-full-scale", path: ["reading", "full_scale"] },
  { id: "new-offset", path: ["reading", "offset"] },
  { id: "new-exposure", path: ["exposure", "exposure_s"], factor: 1000 },
  { id: "new-gain", path: ["exposure", "gain"] },
  { id: "new-red", path: ["exposure", "red_gain"] },
  { id: "new-blue", path: ["exposure", "blue_gain"] },
];
const TEXTS = [
  { id: "new-channel", path: ["reading", "channel"] },
  { id: "new-project", path: ["reading", "project"] },
];

const held = (assay, [name, ...rest]) => (rest.length ? assay[name]?.[rest[0]] : assay[name]) ?? null;

function put(assay, [name, ...rest], value) {
  if (rest.length) assay[name][rest[0]] = value;
  else assay[name] = value;
}

const typed = (id) => byId(id).value.trim();
const amount = ({ id, factor = 1 }) => (typed(id) ? Number((Number(typed(id)) / factor).toPrecision(12)) : null);

export class AssayForm {
  constructor() {
    const others = { "new-diameter-px": "new-diameter-um", "new-diameter-um": "new-diameter-px" };
    for (const [one, other] of Object.entries(others)) {
      byId(one).addEventListener("input", () => { if (byId(one).value) byId(other).value = ""; });
    }
    byId("new-name").addEventListener("input", () => this.#nameButton());
    byId("new-objective").addEventListener("change", () => this.#sizeOrObjective());
  }

  /** Fill the form with an assay. */
  async show(assay) {
    this.assay = assay;
    byId("new-name").value = assay.name;
    for (const { id, path, factor = 1 } of NUMBERS) {
      const value = held(assay, path);
      byId(id).value = value === null ? "" : Number((value * factor).toPrecision(12));
    }
    for (const { id, path } of TEXTS) byId(id).value = held(assay, path) ?? "";
    byId("new-border").checked = Boolean(assay.exclude_border);
    this.#nameButton();
    await this.offerObjectives();
  }

  /** The instrument's list; what the assay names without being in it (`elsewhere`) stays with it. */
  async offerObjectives() {
    const known = await offerObjectives("new-objective", "none of the list");
    const named = known.find((one) => one.name.toLowerCase() === (this.assay?.objective ?? "").toLowerCase());
    this.elsewhere = named ? "" : this.assay?.objective ?? "";
    byId("new-objective").value = named?.name ?? "";
    this.#sizeOrObjective();
  }

  /** The assay as the form says; what it does not show stays. */
  read() {
    const { assay } = this;
    const made = { ...assay, reading: { ...assay.reading }, exposure: { ...assay.exposure } };
    for (const one of NUMBERS) put(made, one.path, amount(one));
    for (const { id, path } of TEXTS) put(made, path, typed(id) || null);
    const objective = byId("new-objective").value;
    return {
      ...made, name: typed("new-name"), exclude_border: byId("new-border").checked,
      objective: objective || this.elsewhere,
      pixel_size_um: objective ? null : made.pixel_size_um,
    };
  }

  /** The objective brings its pixel size. */
  #sizeOrObjective() {
    byId("new-pixel").disabled = Boolean(byId("new-objective").value);
    if (byId("new-pixel").disabled) byId("new-pixel").value = "";
  }

  #nameButton() {
    const names = [...byId("assay").options].map((one) => one.value);
    const name = typed("new-name");
    const again = name === this.assay?.name ? `Save as version ${this.assay.version + 1}` : "Save as a new version";
    byId("new-save").textContent = names.includes(name) ? again : "Save as a new assay";
  }
}
