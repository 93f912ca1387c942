// A session that ended: log in again in a dialog on the same page, so that nothing typed, chosen or corrected is lost.
import { element } from "./dom.js";
import { pathOf } from "./root.js";

let asking = null;

const csrfMeta = () => document.querySelector('meta[name="csrf-token"]');

export const csrfToken = () => csrfMeta()?.content || "";

const parsed = (text) => new DOMParser().parseFromString(text, "text/html");

const isLogin = (address) => ["/login", "/setup"].includes(pathOf(address));

/** Resolves when this page may act again, after a login if one is needed; all who ask wait for the same dialog. */
export function relogin() {
  asking ??= ask().finally(() => { asking = null; });
  return asking;
}

async function ask() {
  // The page itself: it leads to the login where one is needed, else it has the token of the present session.
  const answer = await fetch(location.pathname + location.search);
  const page = parsed(await answer.text());
  if (!isLogin(answer.url)) { takeToken(page); return; }
  const dialog = element("dialog", { class: "confirm", "aria-labelledby": "relogin-title" });
  const form = document.importNode(page.querySelector("main form"), true);
  form.prepend(
    element("h2", { id: "relogin-title" }, "Log in again"),
    element("p", {}, "The session has ended. What you typed and chose on this page is still here."),
    element("p", { class: "notice", "data-level": "fault", role: "alert", hidden: true }),
  );
  dialog.append(form);
  document.body.append(dialog);
  // Closing it would leave the page without a way to save.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
  form.querySelector("[autofocus]")?.focus();
  await new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (await send(form, answer.url)) resolve();
    });
  });
  dialog.close();
  dialog.remove();
}

/** True when the instrument let us in; else its sentence stands in the form. */
async function send(form, target) {
  const told = form.querySelector("[role=alert]");
  try {
    const answer = await fetch(target, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const page = parsed(await answer.text());
    if (answer.ok && !isLogin(answer.url)) { takeToken(page); return true; }
    told.textContent = page.querySelector("[role=alert]")?.textContent ?? "This did not work; try again.";
  } catch {
    told.textContent = "The instrument does not answer; try again.";
  }
  told.hidden = false;
  return false;
}

/** A new session has a new token against forged requests. */
function takeToken(page) {
  const found = page.querySelector('meta[name="csrf-token"]')?.content;
  if (found && csrfMeta()) csrfMeta().content = found;
}
