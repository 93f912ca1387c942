// On the page of administration: passwords, people, tokens of programs.
import * as api from "./api.js";
import { byId, confirmed, element } from "./dom.js";
import { moment } from "./format.js";
import "./header.js";
import { linkTo } from "./root.js";

const day = (seconds) => moment(new Date(seconds * 1000).toISOString());
const link = (text, label, onclick) => element("button", { class: "link", type: "button", "aria-label": label, onclick }, text);

/** Asks, shows the list that comes back, and says what went wrong. */
async function order(ask, show, note) {
  byId(note).textContent = "";
  try {
    const answer = await ask();
    show(answer);
    return answer;
  } catch (error) {
    byId(note).textContent = error.message;
    return null;
  }
}

const changePeople = (ask) => order(ask, showPeople, "people-note");
const changeTokens = (ask) => order(ask, showTokens, "tokens-note");
const userPath = (user) => `/users/${encodeURIComponent(user.name)}`;

async function newPassword(user, form) {
  const field = form.querySelector("input");
  const done = await changePeople(() => api.patch(userPath(user), { password: field.value }));
  if (done) byId("people-note").textContent = `${user.name} has a new password and must log in again.`;
}

function passwordForm(user) {
  const form = element("form", { class: "form-grid" },
    element("label", { class: "field" }, element("span", {}, `New password of ${user.name}`), element("input", { type: "password", autocomplete: "new-password", minlength: "8", required: true })),
    element("button", { class: "button small", type: "submit" }, "Set it"));
  form.addEventListener("submit", (event) => { event.preventDefault(); newPassword(user, form); });
  return form;
}

function personItem(user, you) {
  const kind = [user.name === "lab" ? "shared account" : "", user.administrator ? "administrator" : "", user.name === you ? "you" : ""].filter(Boolean).join(", ");
  const item = element("li", {},
    element("p", {}, element("strong", {}, user.name), " ", element("small", {}, [kind, `since ${day(user.created_s)}`].filter(Boolean).join(", "))),
    link("new password", `New password for ${user.name}`, () => { if (!item.querySelector("form")) item.append(passwordForm(user)); item.querySelector("input").focus(); }),
    link(user.administrator ? "no administrator" : "administrator", `${user.administrator ? "No longer administrator" : "Make administrator"}: ${user.name}`,
      () => changePeople(() => api.patch(userPath(user), { administrator: !user.administrator }))),
    user.name !== you && link("remove", `Remove ${user.name}`, async () => {
      if (await confirmed(`Remove ${user.name}?`, `${user.name} cannot log in any more. Corrections keep the name.`)) changePeople(() => api.remove(userPath(user)));
    }));
  return item;
}

function showPeople({ users, you }) { byId("people").replaceChildren(...users.map((user) => personItem(user, you))); }

function showTokens({ tokens, made }) {
  byId("tokens").replaceChildren(...tokens.map((token) => element("li", {},
    element("p", {}, element("strong", {}, token.name), " ", element("small", {}, `since ${day(token.created_s)}, ${token.last_used_s ? `last used ${day(token.last_used_s)}` : "never used"}`)),
    link("revoke", `Revoke the token of ${token.name}`, async () => {
      if (await confirmed(`Revoke the token of ${token.name}?`, "The program that uses it is refused from now on.")) changeTokens(() => api.remove(`/tokens/${encodeURIComponent(token.name)}`));
    }))));
  byId("token-made").replaceChildren(...(made ? [
    element("p", {}, "Copy this token now; it is shown only once:"), element("pre", {}, element("code", { class: "token" }, made)),
    element("p", { class: "hint" }, "Test it on another computer:"),
    element("pre", {}, element("code", {}, `curl -H "Authorization: Bearer ${made}" ${location.origin}${linkTo("/api/v1/status")}`)),
  ] : []));
}

byId("password-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const changed = await order(() => api.post("/password", { old: byId("password-old").value, new: byId("password-new").value }), () => {}, "password-note");
  if (changed === null && !byId("password-note").textContent) location.assign(linkTo("/login"));
});

byId("person-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const wish = { name: byId("person-name").value, password: byId("person-password").value, administrator: byId("person-administrator").checked };
  if (await changePeople(() => api.post("/users", wish))) event.target.reset();
});

byId("token-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await changeTokens(() => api.post("/tokens", { name: byId("token-name").value }))) event.target.reset();
});

if (byId("people")) order(() => api.get("/users"), showPeople, "people-note");
if (byId("tokens")) order(() => api.get("/tokens"), showTokens, "tokens-note");
