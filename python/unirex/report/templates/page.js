"use strict";
// The page works without this script: filters are CSS. It adds counting, ordering, searching and stepping by keys.
(() => {
  const list = document.getElementById("list");
  if (!list) return;
  const all = [...list.children];
  const status = document.getElementById("status");
  const search = document.getElementById("search");
  const order = document.getElementById("order");
  document.querySelectorAll(".needs-script").forEach((element) => { element.hidden = false; });
  let texts = null; // made by the first search: a page may hold ten thousand instances
  const shown = () => all.filter((element) => getComputedStyle(element).display !== "none");
  const count = () => {
    const label = document.getElementById("label");
    const whole = document.getElementById("f-all").checked && (!label || label.value === "any") && !search.value.trim();
    const n = whole ? all.length : shown().length; // the style of ten thousand instances takes seconds
    status.textContent = n ? `${n} of ${all.length} shown` : "none fits";
  };
  const find = () => {
    const wanted = search.value.trim().toLowerCase();
    if (wanted) texts ??= all.map((element) => element.textContent.toLowerCase());
    all.forEach((element, i) => { element.hidden = wanted !== "" && !texts[i].includes(wanted); });
    count();
  };
  const value = (element, key) => {
    const text = element.dataset[key];
    return text === "" ? Infinity : (key === "c" ? -1 : 1) * Number(text);
  };
  const sort = () => {
    const key = order.value;
    const sorted = [...all];
    if (key !== "id") sorted.sort((a, b) => (value(a, key) > value(b, key)) - (value(a, key) < value(b, key)));
    list.append(...sorted);
  };
  document.querySelectorAll("input[name=filter], #label").forEach((element) => element.addEventListener("change", count));
  search.addEventListener("input", find);
  order.addEventListener("change", sort);
  // j and k step through the instances, except while something is being typed or chosen.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.key !== "j" && event.key !== "k")) return;
    if (event.target.closest("input[type=search], select, textarea")) return;
    const visible = [...list.children].filter((element) => getComputedStyle(element).display !== "none");
    const here = visible.indexOf(document.activeElement.closest(".instance"));
    const next = visible[event.key === "j" ? here + 1 : Math.max(0, here - 1)];
    if (!next) return;
    event.preventDefault();
    next.querySelector("h3 a").focus({ preventScroll: true });
    next.scrollIntoView({ block: "center" });
  });
  // A browser keeps what was chosen before a reload.
  if (order.value !== "id") sort();
  find();
})();
