// Progressive enhancement of the dashboard: pages refresh themselves, ages count on, commands can be copied.
// Every page works without it. It holds no state that the server doesn't have.

import { keepFresh, parse } from "./refresher.js";

const REFRESH_SECONDS = 10;
const STEPS = [[60, 1, "s"], [3600, 60, "min"], [48 * 3600, 3600, "h"], [60 * 86400, 86400, "d"]];

// The same steps as in apps/lifecycle/ages.py. For more than 60 days the text of the server stays.
function age(seconds) {
  if (seconds < 1) return "now";
  for (const [limit, unit, name] of STEPS) if (seconds < limit) return `${Math.floor(seconds / unit)} ${name}`;
  return null;
}

// The clock of the browser may be wrong, so ages are counted by the server's, which is in the Date of each response.
let clockOffset = 0;
function setClock(response) {
  const date = Date.parse(response.headers.get("Date"));
  if (!Number.isNaN(date)) clockOffset = date - Date.now();
}

function tick(root = document) {
  const now = Date.now() + clockOffset;
  for (const time of root.querySelectorAll("time[data-ago], time[data-age], time[data-next]")) {
    const seconds = (now - Date.parse(time.dateTime)) / 1000;
    if ("next" in time.dataset && seconds >= 0) { // the same words as the server's next response
      time.textContent = "at the machine's next report";
      continue;
    }
    const span = age(Math.abs(seconds));
    if (span === null) continue;
    const text = "age" in time.dataset || span === "now" ? span : seconds >= 0 ? `${span} ago` : `in ${span}`;
    if (time.textContent !== text) time.textContent = text;
  }
}

// --- Copying a command -------------------------------------------------------------------------------------------
function addCopyButtons(root) {
  if (!navigator.clipboard) return; // only over HTTPS or on localhost
  for (const box of root.querySelectorAll(".copyable:not(:has(button))")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(box.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    box.append(button);
  }
}

// --- Refreshing: elements with data-live and an id are replaced when the server's version differs -------------------
const GONE = {
  403: "You may no longer see this: reload the page.",
  404: "This is gone: reload the page.",
  410: "This is gone: reload the page.",
};

// Elements that differ only in the text of an age have the same signature.
function signature(element) {
  const copy = element.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) time.textContent = "";
  for (const input of copy.querySelectorAll("input[type=hidden]")) input.remove();
  for (const button of copy.querySelectorAll(".copyable button")) button.remove();
  for (const details of copy.querySelectorAll("details")) details.removeAttribute("open");
  copy.classList.remove("fresh");
  return copy.outerHTML;
}

// A selector that finds the focused element in the new version: its id, or one of its attributes.
function focusKey(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  for (const name of ["href", "name", "value"])
    if (element.hasAttribute(name)) return `${element.localName}[${name}="${CSS.escape(element.getAttribute(name))}"]`;
  return null;
}

// Whether somebody is typing or has chosen something in it: then it isn't replaced until they have finished.
function isBusy(element) {
  for (const field of element.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (field === document.activeElement || (field.type === "checkbox" ? field.checked !== field.defaultChecked
      : field.localName === "select" ? [...field.options].some((option) => option.selected !== option.defaultSelected)
      : field.value !== field.defaultValue)) return true;
  const selection = document.getSelection();
  return !selection.isCollapsed && selection.containsNode(element, true);
}

function replace(old, fresh) {
  const active = old.contains(document.activeElement) ? focusKey(document.activeElement) : null;
  const open = [...old.querySelectorAll("details[id][open]")].map((details) => details.id);
  const scrolled = [...old.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  old.replaceWith(fresh);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  fresh.querySelectorAll(".scroll").forEach((box, index) => { box.scrollLeft = scrolled[index] ?? 0; });
  if (active) fresh.querySelector(active)?.focus({ preventScroll: true });
  fresh.classList.add("fresh");
  addCopyButtons(fresh);
  tick(fresh);
}

async function take(response) {
  if (response.redirected) {
    const address = new URL(response.url);
    if (address.pathname === "/login") return "You are logged out: reload the page to log in.";
    location.replace(address); // what is shown has a new name
    return "";
  }
  if (response.status in GONE) return GONE[response.status];
  if (!response.ok) throw new Error(response.status === 429 ? "The server asks for a pause" : "The server answers with an error");
  setClock(response);
  const page = await parse(response);
  for (const old of document.querySelectorAll("[data-live][id]")) {
    const fresh = page.getElementById(old.id);
    if (fresh && signature(old) !== signature(fresh) && !isBusy(old)) replace(old, fresh);
  }
}

function complain(error, age) {
  const why = error.constructor === Error ? error.message : "The server does not answer";
  return `${why}; this is from ${age} s ago.`;
}

addCopyButtons(document);
tick();
setInterval(tick, 1000);
if (document.querySelector("[data-live][id]"))
  keepFresh({
    seconds: REFRESH_SECONDS,
    patience: 8,
    note: document.querySelector("[data-live-note]"),
    calm: "Refreshes itself",
    take,
    complain,
  });
