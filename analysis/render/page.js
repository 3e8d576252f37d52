// Sorting: a heading becomes a button; the first press sorts by its column, a second one the other
// way round.
for (const head of document.querySelectorAll(".wide th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const ascending = head.getAttribute("aria-sort") === "descending";
    const value = row => {
      const text = row.cells[column].textContent.trim().replace("\u2212", "-");
      const number = parseFloat(text);
      return isNaN(number) ? text : number;
    };
    const rows = [...body.rows].sort((a, b) => {
      const x = value(a), y = value(b);
      // numbers stand above texts in both directions
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
      const order = typeof x === "number" ? x - y : x.localeCompare(y);
      return ascending ? order : -order;
    });
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    body.append(...rows);
  });
}

// Copying: where the browser forbids it, as in a frame, the command is selected instead.
for (const button of document.querySelectorAll(".copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.parentNode.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  });
}

// The contents mark the part of the page that is read.
const links = new Map(
  [...document.querySelectorAll("nav a")].map(link => [link.hash.slice(1), link]));
const mark = () => {
  let current = null;
  for (const part of document.querySelectorAll("main > section")) {
    if (part.getBoundingClientRect().top <= innerHeight / 3) current = part.id;
  }
  for (const [id, link] of links) {
    if (id === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
};
addEventListener("scroll", mark, { passive: true });
mark();
