// A click on a column's head sorts its table; a second click sorts it the other way.
function value(row, column) {
  const text = row.cells[column].textContent.trim(), number = parseFloat(text);
  return Number.isNaN(number) ? text.toLowerCase() : number;
}
function sort(head, column) {
  const ascending = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = head.closest("table").tBodies[0];
  const rows = [...body.rows].map((row) => [value(row, column), row]);
  rows.sort(([a], [b]) => (typeof a === typeof b ? (a > b) - (a < b) : typeof a === "number" ? -1 : 1) * (ascending ? 1 : -1));
  for (const [, row] of rows) body.append(row);
}
for (const head of document.querySelectorAll(".scroll thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = "sort";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => sort(head, head.cellIndex));
}
// A click on one of two figures side by side makes it as wide as the room.
for (const image of document.querySelectorAll(".pair img")) {
  image.addEventListener("click", () => image.closest("figure").classList.toggle("wide"));
}
