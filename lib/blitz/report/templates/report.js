"use strict";
// On a phone the cards begin folded; paper has them all open, and so has whoever follows a link to one.
(() => {
  const cards = Array.from(document.querySelectorAll("details.card"));
  const phone = matchMedia("(max-width: 760px)");
  const fold = () => cards.forEach((each) => (each.open = !phone.matches));
  const follow = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.matches("details.card")) target.open = true;
  };
  fold();
  follow();
  phone.addEventListener("change", fold);
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", () => cards.forEach((each) => (each.open = true)));
  addEventListener("afterprint", fold);
})();
(() => {
  const table = document.getElementById("segment-table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const search = document.getElementById("segment-search");
  const band = document.getElementById("segment-band");
  const status = document.getElementById("segment-status");
  const value = (row, at) => {
    const cell = row.cells[at];
    return cell.dataset.v === undefined ? cell.textContent.trim() : cell.dataset.v === "" ? null : Number(cell.dataset.v);
  };
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  };
  for (const head of table.tHead.rows[0].cells) {
    const button = head.querySelector("button");
    if (!button) continue;
    button.addEventListener("click", () => {
      const first = head.classList.contains("n") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const sorted = rows.map((row) => [value(row, head.cellIndex), row]);
      sorted.sort((a, b) => (a[0] === null || b[0] === null ? compare(a[0], b[0]) : sign * compare(a[0], b[0])));
      body.append(...sorted.map((each) => each[1]));
    });
  }
  const filter = () => {
    const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    let customers = 0;
    for (const row of rows) {
      const text = row.dataset.text.toLowerCase();
      const fits = (!band.value || row.dataset.band === band.value) && words.every((word) => text.includes(word));
      row.hidden = !fits;
      if (fits) {
        shown += 1;
        customers += Number(row.dataset.customers);
      }
    }
    status.textContent = `${shown} of ${rows.length} segments, ${customers.toLocaleString("en")} customers`;
  };
  search.addEventListener("input", filter);
  band.addEventListener("change", filter);
  filter();
})();
