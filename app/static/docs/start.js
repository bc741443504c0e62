// Starts Swagger UI, and mends of its markup what keeps people with a keyboard or a screen reader out.
"use strict";

const root = document.querySelector("#swagger-ui");
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const labelled = (label) => (element) => element.setAttribute("aria-label", label);
const part = (label) => (element) => {
  element.setAttribute("role", "region");
  element.setAttribute("aria-label", label);
};
const level = (number) => (element) => element.setAttribute("aria-level", number);

const MENDS = {
  ".information-container": part("About"),
  ".schemes-server-container": part("Server and key"),
  ".filter-container": part("Filter"),
  ".operation-filter-input": labelled("Filter by group"),
  "#servers": labelled("Server"),
  ".examples-select-element": labelled("Example"),
  "textarea.body-param__text": labelled("Body of the request"),
  ".modal-ux": (element) => {
    element.setAttribute("role", "dialog");
    element.setAttribute("aria-label", "Authorize");
  },
  ".close-modal": labelled("Close"),
  // Words that are seen are better than others that are not.
  ".modal-ux .btn[aria-label]": (element) => element.removeAttribute("aria-label"),
  "tr[data-param-name] :is(input, select)": (element) =>
    element.setAttribute("aria-label", element.closest("tr").dataset.paramName),
  ".responses-table[role=region]": (element) => element.setAttribute("aria-label", element.id.replaceAll("_", " ")),
  // Of a link within a button a click reaches the button.
  ".opblock-summary-control a[href]": (element) => element.removeAttribute("href"),
  "pre:not([tabindex])": (element) => element.setAttribute("tabindex", "0"),
  "h3.opblock-tag, .models > h4, .modal-ux h3": level(2),
  "h4.opblock-title, .opblock h4, .modal-ux h4": level(3),
  ".opblock h5, .modal-ux h6": level(4),
};

let isDue = false;
function mend() {
  isDue = false;
  for (const [selector, repair] of Object.entries(MENDS)) root.querySelectorAll(selector).forEach(repair);
}
new MutationObserver(() => {
  if (!isDue) requestAnimationFrame(mend);
  isDue = true;
}).observe(root, { childList: true, subtree: true });

SwaggerUIBundle({
  domNode: root,
  url: "/openapi.json",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  filter: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  requestSnippetsEnabled: true,
  persistAuthorization: false, // else the key would lie in the browser's storage
  validatorUrl: null,
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
