"use strict";
// The page can be read without this script: filters are CSS, and what a browser lays out late stands in <noscript>.
// With it, there are also counting, ordering, searching, stepping by keys, and the score of a tapped word.
(() => {
  const list = document.getElementById("list");
  const AT_ONCE = 200; // instances in a block; a block is filled when it comes near
  const HEIGHT = 130; // of an instance that nobody has seen, in pixels

  const bubble = document.getElementById("bubble");
  const hide = () => { bubble.hidden = true; };
  const tell = (word) => {
    const people = word.closest("u");
    const said = [`score ${word.title.replace("-", "−")}`];
    if (word.closest("mark")) said.push("selected");
    if (people) said.push(people.classList.contains("few") ? "marked by few people" : "marked by people");
    bubble.textContent = said.join(", ");
    bubble.hidden = false;
    const place = word.getBoundingClientRect();
    const room = document.documentElement.clientWidth - bubble.offsetWidth - 8;
    bubble.style.left = `${scrollX + Math.max(8, Math.min(place.left, room))}px`;
    bubble.style.top = `${scrollY + place.bottom + 6}px`;
  };
  document.querySelector("main").addEventListener("click", (event) => {
    const word = event.target.closest(".words [title]");
    if (word) tell(word); else hide();
  });
  // The arrow keys step through the words of an instance, from its link on.
  const step = (forward) => {
    const here = document.activeElement;
    const words = [...(here.closest(".instance, .example")?.querySelectorAll(".words [title]") ?? [])];
    const word = words[words.indexOf(here) + (forward ? 1 : -1)];
    if (!word) return false;
    word.tabIndex = -1;
    word.focus();
    tell(word);
    return true;
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
    if (step(event.key === "ArrowRight")) event.preventDefault();
  });
  if (!list) return;

  document.querySelectorAll(".needs-script").forEach((element) => { element.hidden = false; });
  const named = (id) => document.getElementById(id);
  const [status, search, order, label] = ["status", "search", "order", "label"].map(named);
  const card = (element, html) => {
    const head = (html ?? element.outerHTML).match(/^[^>]*/)[0]; // ours: nothing from data is in it
    const [tags, id, f, p, c, d] = [...head.matchAll(/"([^"]*)"/g)].map((found) => found[1]);
    return { element, html, id, f, p, c, d, tags: tags.split(" ") };
  };
  const rest = document.getElementById("rest"); // its text: with a script, a browser does not parse it
  const later = rest ? rest.textContent.split(/(?=<li\sclass="instance)/).slice(1) : [];
  const first = [...list.querySelectorAll(".instance")];
  const all = [...first.map((element) => card(element)), ...later.map((html) => card(null, html))];
  const by = new Map(all.map((one) => [one.id, one]));
  let fitting = all;
  let blocks = [];

  const made = (one) => {
    if (!one.element) {
      const template = document.createElement("template");
      template.innerHTML = one.html;
      one.element = template.content.firstElementChild;
    }
    return one.element;
  };
  const fill = (block) => {
    if (block.filled) return;
    block.filled = true;
    block.element.style.minHeight = "";
    block.element.append(...block.cards.map(made));
  };
  const near = new IntersectionObserver((seen) => {
    seen.filter((one) => one.isIntersecting).forEach((one) => {
      near.unobserve(one.target);
      fill(blocks.find((block) => block.element === one.target));
    });
  }, { rootMargin: "1500px" });
  const show = () => {
    near.disconnect();
    hide();
    blocks = [];
    for (let start = 0; start < fitting.length; start += AT_ONCE) {
      const cards = fitting.slice(start, start + AT_ONCE);
      const block = { cards, element: document.createElement("ol"), filled: false };
      block.element.className = "instances";
      block.element.start = start + 1;
      block.element.style.minHeight = `${HEIGHT * block.cards.length}px`;
      blocks.push(block);
      if (start) near.observe(block.element); else fill(block);
    }
    list.replaceChildren(...blocks.map((block) => block.element));
    status.textContent = fitting.length ? `${fitting.length} of ${all.length} shown` : "none fits";
  };
  const reach = (one) => {
    fill(blocks.find((block) => block.cards.includes(one)));
    return one.element;
  };

  const SIGNS = { "&lt;": "<", "&gt;": ">", "&#34;": '"', "&quot;": '"', "&#39;": "'", "&#x27;": "'", "&amp;": "&" };
  const plain = (one) => {
    const read = () => one.html.replace(/<[^>]*>/g, "").replace(/&[#\w]+;/g, (sign) => SIGNS[sign] ?? sign);
    one.text ??= (one.element?.textContent ?? read()).toLowerCase();
    return one.text;
  };
  const value = (one, key) => (one[key] === "" ? Infinity : ("cd".includes(key) ? -1 : 1) * Number(one[key]));
  const update = () => {
    const tag = document.querySelector("input[name=filter]:checked").value;
    const wanted = search.value.trim().toLowerCase();
    fitting = all.filter((one) => (tag === "all" || one.tags.includes(tag))
      && (!label || label.value === "any" || one.tags.includes(label.value))
      && (!wanted || plain(one).includes(wanted)));
    const key = order.value;
    if (key !== "id") fitting.sort((a, b) => (value(a, key) > value(b, key)) - (value(a, key) < value(b, key)));
    show();
  };
  for (const element of document.querySelectorAll("input[name=filter], #label, #order")) {
    element.addEventListener("change", update);
  }
  search.addEventListener("input", update);

  // A link to an instance that is not laid out yet, or that a filter hides.
  const go = () => {
    const one = by.get(location.hash.slice(1));
    if (!one || one.element?.isConnected) return;
    if (!fitting.includes(one)) {
      document.getElementById("f-all").checked = true;
      if (label) label.value = "any";
      search.value = "";
      update();
    }
    reach(one);
    location.replace(location.hash); // once more, now that it is there
  };
  addEventListener("hashchange", go);
  addEventListener("beforeprint", () => blocks.forEach(fill));
  // j and k step through the instances, except while something is being typed or chosen.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.key !== "j" && event.key !== "k")) return;
    if (event.target.closest("input[type=search], select, textarea")) return;
    const here = fitting.findIndex((one) => one.element === document.activeElement.closest("#list .instance"));
    const next = fitting[event.key === "j" ? here + 1 : Math.max(0, here - 1)];
    if (!next) return;
    event.preventDefault();
    reach(next).querySelector("h3 a").focus({ preventScroll: true });
    next.element.scrollIntoView({ block: "center" });
  });
  // A browser keeps what was chosen before a reload.
  update();
  go();
})();
