// Progressive enhancement of the dashboard: pages keep themselves fresh, ages tick, commands can be copied.
// Every page works without it. It holds no state that the server doesn't have.

const REFRESH_SECONDS = 10;
const STEPS = [[60, 1, "s"], [3600, 60, "min"], [48 * 3600, 3600, "h"], [60 * 86400, 86400, "d"]];

// The same words as apps/dashboard/ages.py. Beyond days the server's own text stays.
function age(seconds) {
  if (seconds < 1) return "now";
  for (const [limit, unit, name] of STEPS) if (seconds < limit) return `${Math.floor(seconds / unit)} ${name}`;
  return null;
}

// The reader's clock may be wrong: ages are counted by the server's, which each answer carries.
let clockOffset = 0;
function setClock(response) {
  const date = Date.parse(response.headers.get("Date"));
  if (!Number.isNaN(date)) clockOffset = date - Date.now();
}

function tick(root = document) {
  const now = Date.now() + clockOffset;
  for (const time of root.querySelectorAll("time[data-ago], time[data-age], time[data-next]")) {
    const seconds = (now - Date.parse(time.dateTime)) / 1000;
    if ("next" in time.dataset && seconds >= 0) { // the sentence is the server's; it says this again with its next answer
      time.textContent = "at the machine's next report";
      continue;
    }
    const words = age(Math.abs(seconds));
    if (words === null) continue;
    const text = "age" in time.dataset || words === "now" ? words : seconds >= 0 ? `${words} ago` : `in ${words}`;
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
  403: "You may not see this any more: reload the page.",
  404: "This is gone: reload the page.",
  410: "This is gone: reload the page.",
};
const note = document.querySelector("[data-live-note]");
let refreshed = Date.now();

function say(text, late = false) {
  if (!note) return;
  note.hidden = false;
  note.textContent = text;
  note.classList.toggle("late", late);
}

// What differs only by the words of an age is the same.
function signature(element) {
  const copy = element.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) time.textContent = "";
  for (const input of copy.querySelectorAll("input[type=hidden]")) input.remove();
  for (const button of copy.querySelectorAll(".copyable button")) button.remove();
  for (const details of copy.querySelectorAll("details")) details.removeAttribute("open");
  copy.classList.remove("fresh");
  return copy.outerHTML;
}

// A way to find the focused element again in the new version: its id, or its place among equals.
function focusKey(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  for (const name of ["href", "name", "value"])
    if (element.hasAttribute(name)) return `${element.localName}[${name}="${CSS.escape(element.getAttribute(name))}"]`;
  return null;
}

// Somebody is typing or has chosen something in it: it is left alone until they are done.
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

async function refresh() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(8000) });
  if (response.redirected) {
    const address = new URL(response.url);
    if (address.pathname !== "/login") { // what is shown has a new name
      location.replace(address);
      return false;
    }
    say("You are logged out: reload the page to log in.", true);
    return false;
  }
  if (response.status in GONE) {
    say(GONE[response.status], true);
    return false;
  }
  if (!response.ok) throw new Error(response.status === 429 ? "The server asks for a pause" : "The server answers with an error");
  setClock(response);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live][id]")) {
    const fresh = page.getElementById(old.id);
    if (fresh && signature(old) !== signature(fresh) && !isBusy(old)) replace(old, fresh);
  }
  refreshed = Date.now();
  say("Refreshes itself");
  return true;
}

let timer = 0;
async function keepFresh() {
  clearTimeout(timer);
  if (document.hidden) return; // visibilitychange goes on
  const started = performance.now();
  try {
    if (!(await refresh())) return;
  } catch (error) {
    const why = error.constructor === Error ? error.message : "The server does not answer";
    say(`${why}; this is from ${Math.round((Date.now() - refreshed) / 1000)} s ago.`, true);
  }
  // A page that takes long to make is asked for less often: at most a twentieth of the server's time goes to it.
  timer = setTimeout(keepFresh, Math.max(REFRESH_SECONDS * 1000, 20 * (performance.now() - started)));
}

addCopyButtons(document);
tick();
setInterval(tick, 1000);
if (document.querySelector("[data-live][id]")) {
  say("Refreshes itself");
  timer = setTimeout(keepFresh, REFRESH_SECONDS * 1000);
  document.addEventListener("visibilitychange", keepFresh);
}
