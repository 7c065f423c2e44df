// Asks for the shown page again while somebody looks at it, and says in a note how that goes: for the dashboard and the
// health page. It must not know what is on a page.

// `seconds`: between two requests at least. `patience`: seconds that an answer may take. `note`: the element for the
// words, or null. `calm`: what it says when all is well. `take(response)` shows an answer, or throws; it returns why the
// page is not asked for any more ("": without a word), or nothing. `complain(error, age)`: what to say when an answer is
// missing; the shown one is `age` seconds old.
export function keepFresh({ seconds, patience, note, calm, take, complain }) {
  let answered = Date.now();
  let timer = 0;

  function say(text, late = false) {
    if (!note) return;
    note.hidden = false;
    if (note.textContent !== text) note.textContent = text;
    note.classList.toggle("late", late);
  }

  async function refresh() {
    clearTimeout(timer);
    if (document.hidden) return; // visibilitychange goes on
    const started = performance.now();
    try {
      const signal = AbortSignal.timeout(patience * 1000);
      // X-Automatic: this is no use of the session, which ends some time after its last one.
      const headers = { Accept: "text/html", "X-Automatic": "refresh" };
      const end = await take(await fetch(location.href, { headers, signal }));
      if (end !== undefined) {
        if (end) say(end, true);
        return;
      }
      answered = Date.now();
      say(calm);
    } catch (error) {
      say(complain(error, Math.round((Date.now() - answered) / 1000)), true);
    }
    // A page that takes long to make is asked for less often: at most a twentieth of the server's time goes to it.
    timer = setTimeout(refresh, Math.max(seconds * 1000, 20 * (performance.now() - started)));
  }

  say(calm);
  timer = setTimeout(refresh, seconds * 1000);
  document.addEventListener("visibilitychange", refresh);
}

export async function parse(response) {
  return new DOMParser().parseFromString(await response.text(), "text/html");
}
