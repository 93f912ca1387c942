// The reviews of a study: how many images are needed, begin one, open one.
import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { plural, significant } from "./format.js";
import { linkTo } from "./root.js";

const say = (text) => { byId("review-note").textContent = text; };
const value = (id) => byId(id).value.trim();

function line(one) {
  const address = linkTo(`/reviews/${encodeURIComponent(one.id)}`);
  return element("li", {}, element("a", { href: one.finished ? `${address}/results` : address }, `${plural(one.images, "image")}, ${one.observers.join(" and ")}`),
    ` ${one.finished ? "finished" : "running, blinded"}`);
}

export async function showReviews(path, isLast = () => true) {
  const { reviews } = await api.get(path("/reviews"));
  if (!isLast()) return;
  byId("reviews").replaceChildren(...reviews.map(line));
}

export function offerReviews(path) {
  byId("review-precision").addEventListener("change", async () => {
    if (!value("review-precision")) return;
    try {
      const found = await api.get(path("/sample-size"), { precision: value("review-precision") });
      byId("review-number").value = found.images;
      say(`${found.images} of ${plural(found.of, "image")}: the error of one image is expected to scatter by ${significant(found.sd)} cells.`);
    } catch (error) {
      say(error.message);
    }
  });
  byId("review-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const observers = value("review-observers").split(",").map((one) => one.trim()).filter(Boolean);
    const number = Number(value("review-number"));
    try {
      const made = await api.post(path("/reviews"), { observers, ...(number ? { number } : {}) });
      say("The review is ready. Give its observers the link.");
      await showReviews(path);
      byId("reviews").querySelector(`a[href$="${made.id}"]`)?.focus();
    } catch (error) {
      say(error.message);
    }
  });
}
