// Keeps a page as fresh as its validator: listens to what happens and exchanges the parts that changed. Everything works
// without it; it asks for the very page that a reader would load again.
(() => {
  "use strict";
  const page = document.body.dataset;

  // A button that copies, beside every command.
  if (navigator.clipboard) {
    for (const command of document.querySelectorAll("pre.command")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(command.querySelector("code").textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1600);
      });
      command.append(button);
    }
  }

  if (!page.events || !window.EventSource) return;
  const parts = () => [...document.querySelectorAll("[data-live]")];
  // What each part looked like when it came, before anybody opened or closed something in it.
  const known = new Map(parts().map((part) => [part.id, part.innerHTML]));
  const said = document.getElementById("live");
  let source, running = false, again = false;

  function exchange(part, fresh) {
    const open = [...part.querySelectorAll("details[open]")].map((details) => details.dataset.key);
    const focus = part.contains(document.activeElement) ? document.activeElement : null;
    const href = focus && focus.getAttribute("href");
    const rows = new Map([...part.querySelectorAll("[data-key]")].map((row) => [row.dataset.key, row.textContent]));
    part.replaceChildren(...fresh.childNodes);
    for (const details of part.querySelectorAll("details")) details.open = open.includes(details.dataset.key);
    if (href) [...part.querySelectorAll("a")].find((a) => a.getAttribute("href") === href)?.focus({ preventScroll: true });
    for (const row of part.querySelectorAll("tbody[data-key]")) {
      if (rows.get(row.dataset.key) !== row.textContent) row.classList.add("fresh");
    }
  }

  async function refresh() {
    if (running) { again = true; return; }
    running = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        let changed = false;
        for (const part of parts()) {
          const now = fresh.getElementById(part.id);
          if (!now || known.get(part.id) === now.innerHTML) continue;
          known.set(part.id, now.innerHTML);
          exchange(part, now);
          changed = true;
        }
        document.title = fresh.title;
        if (changed && said) said.textContent = "The page was updated.";
        // What ended needs no watching.
        if (!fresh.body.dataset.events) stop();
      }
    } catch { /* The next event tries again. */ }
    running = false;
    if (again) { again = false; setTimeout(refresh, 400); }
  }

  function happened(event) {
    // A board shows what is scored, not who is on the way; those who watch it must not all ask at once.
    if (document.getElementById("rows") && event.type === "submission") {
      const { state, from } = JSON.parse(event.data);
      if (state !== "scored" && from !== "scored") return;
    }
    setTimeout(refresh, 250 * Math.random());
  }

  function start() {
    if (source) return;
    source = new EventSource(page.events);
    for (const kind of ["submission", "round", "reward", "competition"]) source.addEventListener(kind, happened);
  }

  function stop() {
    source?.close();
    source = undefined;
  }

  // A page that nobody sees holds no connection.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return stop();
    start();
    refresh();
  });
  if (page.poll) setInterval(() => { if (source) refresh(); }, 1000 * Number(page.poll));
  if (!document.hidden) start();
})();
