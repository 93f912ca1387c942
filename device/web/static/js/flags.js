// Warnings about an image: what is unusual, and a button that leads to what can be done about it.
import { byId, element, icon } from "./dom.js";
import { linkTo } from "./root.js";

const SIZE = { label: "Set the cell diameter and count again", field: "again-diameter" };
const ASSAY = { label: "Choose another assay and count again", field: "again-assay" };
const CAMERA = { label: "Change the camera's settings", page: "/" };
const LOOK = { label: "Look at the next doubtful object", press: "next-doubtful" };
const REMEDIES = {
  scale: SIZE,
  cell_size: SIZE,
  pixel_size: ASSAY,
  wrong_stain: ASSAY,
  unreliable_interval: LOOK,
  untested_model: ASSAY,
  crowded: LOOK,
  unsure: LOOK,
  saturated: CAMERA,
  blank: CAMERA,
  unusual_brightness: CAMERA,
  unusual_noise: CAMERA,
  out_of_focus: { label: "Focus and take it again", page: "/" },
  coarse: { label: "Upload a larger image", page: "/upload" },
  dim: { label: "Upload it again with its full scale", page: "/upload#full-scale" },
  annotations: { label: "Upload the image without drawings", page: "/upload" },
  possible_annotations: { label: "Upload the image without drawings", page: "/upload" },
  label_image: { label: "Upload the image that it was made from", page: "/upload" },
  pixel_shape: { label: "Upload an image with square pixels", page: "/upload" },
  transparent: { label: "Upload the whole image", page: "/upload" },
  missing_tiles: { label: "Upload the whole image", page: "/upload" },
};

function go(id) {
  const field = byId(id);
  field.scrollIntoView({ block: "center" });
  field.focus();
}

/** A camera is no help for an image that came as a file. */
function remedyOf(code, origin) {
  const remedy = REMEDIES[code];
  if (remedy?.page === "/" && origin !== "capture") return { label: "Upload a better image", page: "/upload" };
  return remedy;
}

function button(remedy) {
  if (remedy.page) return element("a", { class: "button small", href: linkTo(remedy.page) }, remedy.label);
  const act = () => (remedy.press && !byId(remedy.press).disabled ? byId(remedy.press).click() : go(remedy.field ?? "threshold"));
  return element("button", { class: "button small", type: "button", onclick: act }, remedy.label);
}

export function flagItem(flag, origin) {
  const remedy = remedyOf(flag.code, origin);
  return element("li", {}, icon("warning"), element("div", {}, element("span", {}, flag.text), remedy && element("p", {}, button(remedy))));
}
