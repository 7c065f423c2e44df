// Refreshes the health page in place. Without it a <meta> refresh reloads the page.

import { keepFresh, parse } from "../pacsync/refresher.js";

const note = document.querySelector("[data-note]");

async function take(response) {
  // 503 is an answer: it says unhealthy. Another page (a proxy's error) has no parts to show.
  const fresh = await parse(response);
  if (!fresh.querySelector("[data-live]")) throw new Error("not this page");
  document.title = fresh.title;
  for (const part of document.querySelectorAll("[data-live]")) {
    const replacement = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    // Parts that did not change stay, and with them what is selected or focused in them.
    if (replacement && replacement.innerHTML !== part.innerHTML) part.innerHTML = replacement.innerHTML;
  }
}

keepFresh({
  seconds: Number(document.body.dataset.refresh),
  patience: 4,
  note,
  calm: note.textContent,
  take,
  complain: (error, age) => `No answer for ${age} s; trying again`,
});
