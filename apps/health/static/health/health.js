// Refreshes the health page in place. Without it a <meta> refresh reloads the page.

const seconds = Number(document.body.dataset.refresh);
const note = document.querySelector("[data-note]");
const calm = note.textContent;
let lastAnswer = Date.now();

function show(fresh) {
  document.title = fresh.title;
  for (const part of document.querySelectorAll("[data-live]")) {
    const replacement = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    // Parts that did not change stay, and with them what is selected or focused in them.
    if (replacement && replacement.innerHTML !== part.innerHTML) part.innerHTML = replacement.innerHTML;
  }
}

function say(text, late) {
  if (note.textContent !== text) note.textContent = text;
  note.classList.toggle("late", late);
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(4000) });
    // 503 is an answer: it says unhealthy. Another page (a proxy's error) has no parts to show.
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!fresh.querySelector("[data-live]")) throw new Error("not this page");
    show(fresh);
    lastAnswer = Date.now();
    say(calm, false);
  } catch {
    say(`No answer for ${Math.round((Date.now() - lastAnswer) / 1000)} s; trying again`, true);
  }
}

function next() {
  setTimeout(async () => {
    if (!document.hidden) await refresh();
    next();
  }, seconds * 1000);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
next();
