// Calls to /api/v1. A refused call throws ApiError with the sentence that the instrument sent.

import { countPath, linkTo } from "./root.js";
import { csrfToken, relogin } from "./session.js";

const API = linkTo("/api/v1");

export class ApiError extends Error {
  constructor(message, status, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export const headers = () => (csrfToken() ? { "X-CSRFToken": csrfToken() } : {});

/** True where the same request may work later: no connection, a restart, a full queue. */
export const isPassing = (error) => error instanceof ApiError && (error.status === 0 || error.status === 429 || error.status >= 502);

export const url = (path, parameters = {}) => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  return API + path + (query.size ? `?${query}` : "");
};

export { countPath };

/** The sentence in the response body, or one made from the status. */
export function sentence(body, status) {
  if (body && typeof body === "object") {
    if (typeof body.error === "string") return body.error;
    if (typeof body.message === "string") return body.message;
  }
  if (status === 413) return "This file is larger than the instrument accepts.";
  return `The instrument could not do this (error ${status}); see the Status page.`;
}

async function failure(response) {
  const body = await response.json().catch(() => null);
  return new ApiError(sentence(body, response.status), response.status, Number(response.headers.get("Retry-After")) || null);
}

/** 401: the session has ended; 403 on a change: so has the one that this page's token belongs to. */
export const needsLogin = (status, method) => status === 401 || (status === 403 && method !== "GET");

/** One request. A session that ended is begun anew in a dialog, then the request is sent again. */
async function call(method, path, options = {}) {
  const response = await sent(method, path, options);
  if (needsLogin(response.status, method) && !options.keepalive && !options.again) {
    await relogin();
    return call(method, path, { ...options, again: response.status === 403 });
  }
  if (!response.ok) throw await failure(response);
  return response;
}

/** `key` makes a second try safe; `keepalive` outlives the page. */
async function sent(method, path, { json, body, signal, parameters, key, keepalive }) {
  const options = { method, signal, keepalive: Boolean(keepalive), headers: method === "GET" ? {} : headers() };
  if (key) options.headers["Idempotency-Key"] = key;
  if (json !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(json);
  } else if (body !== undefined) {
    options.body = body;
  }
  try {
    return await fetch(url(path, parameters), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The instrument does not answer. Check its power and the network.", 0);
  }
}

const asJson = async (response) => (response.status === 204 ? null : response.json());

export const get = async (path, parameters, signal) => asJson(await call("GET", path, { parameters, signal }));
export const post = async (path, json, key, { keepalive } = {}) => asJson(await call("POST", path, { json: json ?? {}, key, keepalive }));
export const patch = async (path, json, { keepalive } = {}) => asJson(await call("PATCH", path, { json, keepalive }));
export const sendForm = async (path, form, signal) => asJson(await call("POST", path, { body: form, signal }));
export const remove = async (path) => asJson(await call("DELETE", path));

export async function blob(path, { method = "GET", parameters, json, signal } = {}) {
  const response = await call(method, path, { parameters, json, signal });
  return { blob: await response.blob(), headers: response.headers };
}
