"use strict";
/* Brings the part of the page that changes up to date, for as long as it says how often. */
(function () {
  function due() {
    const part = document.getElementById("live");
    return part ? Number(part.dataset.every || 0) * 1000 : 0;
  }
  function keepOpen(before, after) {
    for (const one of before.querySelectorAll("details[open][id]")) {
      const same = after.querySelector("#" + CSS.escape(one.id));
      if (same) same.open = true;
    }
  }
  async function refresh() {
    const part = document.getElementById("live");
    if (!document.hidden && !part.contains(document.activeElement)) {
      try {
        const answer = await fetch(location.href, { cache: "no-store" });
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          const fresh = page.getElementById("live");
          if (fresh && !part.contains(document.activeElement)) {
            keepOpen(part, fresh);
            part.replaceWith(document.adoptNode(fresh));
            document.title = page.title;
          }
        }
      } catch (error) {
        /* the server is away for a moment: the next time */
      }
    }
    wait();
  }
  function wait() {
    const milliseconds = due();
    if (milliseconds > 0) setTimeout(refresh, milliseconds);
  }
  wait();
})();
