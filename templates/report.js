(() => {
  "use strict";
  const root = document.documentElement;
  const button = document.getElementById("theme");
  // In memory only: a report opened from disk leaves nothing behind.
  const show = (dark) => {
    root.dataset.theme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(dark));
    button.textContent = dark ? "Light" : "Dark";
  };
  let dark = matchMedia("(prefers-color-scheme: dark)").matches;
  show(dark);
  button.hidden = false;
  button.addEventListener("click", () => show((dark = !dark)));

  // A link to a patch opens it.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  addEventListener("hashchange", open);
  open();
})();
