// What is left to say once htmx keeps a page as fresh as its validator: `templates/base.html` asks it to listen to what
// happens and to morph the page into the one that a reader would load again. Everything works without scripts.
(() => {
  "use strict";

  // A button that copies, beside every command.
  if (navigator.clipboard) document.documentElement.classList.add("copies");
  document.addEventListener("click", async ({ target }) => {
    if (!target.matches("button.copy")) return;
    await navigator.clipboard.writeText(target.previousElementSibling.textContent);
    target.textContent = "Copied";
    setTimeout(() => { target.textContent = "Copy"; }, 1600);
  });

  // What a reader opened stays open, and a row of the board that changed shows it.
  const { callbacks } = Idiomorph.defaults;
  let listened = false;
  const mark = (row) => { if (listened && row.matches?.(".board tbody[id]")) row.classList.add("fresh"); };
  callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.matches("details"));
  callbacks.beforeNodeMorphed = (row, now) => { if (row.textContent !== now.textContent) mark(now); };
  callbacks.beforeNodeAdded = mark;
  document.addEventListener("htmx:beforeSwap", ({ detail }) => { listened = detail.requestConfig.elt.id === "events"; });
  document.addEventListener("htmx:afterSwap", () => {
    if (listened) document.getElementById("said").textContent = "The page was updated.";
  });

  // A board shows what is scored, not who is on the way; those who watch it must not all ask at once.
  document.addEventListener("sse:submission", (event) => {
    const { state, from } = JSON.parse(event.detail.data);
    if (document.getElementById("rows") && state !== "scored" && from !== "scored") event.stopPropagation();
  }, true);

  // The operator's link has the token behind a #, where no server and no log sees it. This tab keeps it, and shows it to
  // the operator's page alone.
  if (location.pathname.endsWith("/operator")) {
    const brought = new URLSearchParams(location.hash.slice(1)).get("token");
    if (brought) {
      sessionStorage.setItem("operator", brought);
      history.replaceState(history.state, "", location.pathname);
    }
    const token = sessionStorage.getItem("operator");
    document.addEventListener("htmx:configRequest", ({ detail }) => {
      const asked = new URL(detail.path || location.href, location.href);
      if (token && asked.origin === location.origin && asked.pathname === location.pathname) {
        detail.headers.Authorization = `Bearer ${token}`;
      }
    });
    if (token && document.getElementById("locked")) {
      htmx.ajax("GET", location.pathname, { target: "#main", select: "#main", swap: "morph:outerHTML" });
    }
  }

  // A page that nobody sees, or that can't change any more, holds no connection: browsers have six for a host.
  let source, hidden = false;
  htmx.createEventSource = (url) => (source = new EventSource(url));
  callbacks.beforeNodeRemoved = (node) => { if (node.id === "events") source?.close(); };
  function seen() {
    const events = document.getElementById("events");
    if (document.hidden && events) {
      source?.close();
      events.remove();
      hidden = true;
    } else if (!document.hidden && hidden) {
      hidden = false;
      htmx.ajax("GET", location.href, { target: "#main", select: "#main", swap: "morph:outerHTML" });
    }
  }
  document.addEventListener("visibilitychange", seen);
  seen();
})();
