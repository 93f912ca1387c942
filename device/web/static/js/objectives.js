// The objectives on the page of the assays: add, change, rename, remove.
import * as api from "./api.js";
import { author, byId, element } from "./dom.js";
import { moment, person, significant } from "./format.js";
import { keepPossible } from "./possible.js";

const say = (text) => { byId("objective-note").textContent = text; };

/** A button that opens a form with one field below the entry. */
function opener(item, text, { label, input, onSubmit }) {
  const open = () => {
    item.querySelector("form")?.remove();
    const field = element("input", { required: true, ...input });
    const form = element("form", { class: "form-grid" },
      element("label", { class: "field" }, element("span", {}, label), field),
      element("button", { class: "button small", type: "submit" }, "Save"));
    form.addEventListener("submit", (event) => { event.preventDefault(); onSubmit(field.value); });
    keepPossible(form, say);
    item.append(form);
    field.focus();
  };
  return element("button", { class: "link", type: "button", "aria-label": label, onclick: open }, text);
}

function entry(one) {
  const { name } = one;
  const use = one.used_by.length ? `; used by ${one.used_by.join(", ")}` : "";
  const when = moment(new Date(one.created_s * 1000).toISOString());
  const item = element("li", {},
    element("p", {}, element("strong", {}, name), ` ${significant(one.pixel_size_um)} µm per pixel `, element("small", {}, `${person(one.who)}, ${when}${use}`)));
  item.append(
    opener(item, "rename", { label: `New name of ${name}`, input: { maxlength: byId("objective-name").maxLength, value: name, autocomplete: "off" }, onSubmit: (text) => change("/rename", { name, new_name: text }, `${name} is renamed.`) }),
    opener(item, "change", { label: `Micrometres per pixel of ${name}`, input: { type: "number", inputmode: "decimal", min: 0.01, max: 20, step: "any", value: one.pixel_size_um }, onSubmit: (size) => change("", { name, pixel_size_um: Number(size) }, `${name} is changed.`) }),
    element("button", { class: "link", type: "button", "aria-label": `Remove ${name}`, onclick: () => change("/remove", { name }, `${name} is removed.`) }, "remove"));
  return item;
}

const show = ({ objectives }) => byId("objective-list").replaceChildren(...objectives.map(entry));

/** Changes something, says what came of it, and lets the page's other fields know. */
async function change(path, wish, done) {
  try {
    const who = path === "/remove" ? {} : { who: author() };
    const answer = await api.post(`/objectives${path}`, { ...wish, ...who });
    show(answer);
    say(answer.changed.length ? `${done} These assays follow: ${answer.changed.join(", ")}.` : done);
    byId("objective-list").dispatchEvent(new Event("changed"));
    return true;
  } catch (error) {
    say(error.message);
    return false;
  }
}

keepPossible(byId("objective-form"), say);
byId("objective-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = byId("objective-name").value;
  const wish = { name, pixel_size_um: Number(byId("objective-size").value), new: true };
  if (await change("", wish, `${name} is added.`)) event.target.reset();
});
api.get("/objectives").then(show).catch((error) => say(error.message));
