// Swagger UI with example requests filled in. Calls carry the token given in Authorize, never the sign-in cookie. The
// token is kept in this tab only, until it expires.
(async () => {
  const KEPT = "todo-token";
  const container = document.getElementById("swagger-ui");

  const keptToken = () => {
    const token = sessionStorage.getItem(KEPT) ?? "";
    if (tokenClaims(token).exp > Date.now() / 1000) return token;
    sessionStorage.removeItem(KEPT);
    return "";
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const showScheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", showScheme);
  showScheme();

  const spec = await (await fetch(container.dataset.url, { credentials: "omit" })).json();
  const operations = () =>
    Object.entries(spec.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    );
  // Fills in this path parameter in every endpoint that has it.
  const fill = (name, value) => {
    for (const { path, method, operation } of operations()) {
      const parameter = operation.parameters.find((one) => one.name === name);
      if (!parameter) continue;
      parameter.schema.example = value; // For endpoints that are not open yet.
      const shown = ui?.specSelectors.specJson().getIn(["paths", path, method, "parameters"]);
      const same = shown?.find((one) => one.get("name") === name);
      if (same) ui.specActions.changeParamByIdentity([path, method], same, value, false);
    }
  };

  // A single example needs no list to choose from.
  for (const { operation } of operations()) {
    for (const { content = {} } of [operation.requestBody ?? {}, ...Object.values(operation.responses)]) {
      for (const type of Object.values(content)) {
        const [first, ...others] = Object.values(type.examples ?? {});
        if (!first || others.length) continue;
        type.example = first.value;
        delete type.examples;
      }
    }
  }

  // Adds accessible names where Swagger UI has none.
  const name = () => {
    const label = (selector, text) =>
      container.querySelectorAll(selector).forEach((element) => {
        const given = typeof text === "string" ? text : text(element);
        if (element.getAttribute("aria-label") !== given) element.setAttribute("aria-label", given);
      });
    label("textarea.body-param__text", "Request body");
    label(".content-type, .response-control-media-type select", "Media type");
    label(".examples-select-element", "Example");
    label("button.close-modal", "Close");
    label("tr[data-param-name] select", (select) => select.closest("tr").dataset.paramName);
    label(".modal-btn.auth", (button) => button.textContent);
    container.querySelectorAll("pre.microlight").forEach((block) => (block.tabIndex = 0));
  };
  new MutationObserver(name).observe(container, { childList: true, subtree: true, characterData: true });

  let ui;
  const start = keptToken();
  if (start) fill("user_id", tokenClaims(start).sub);
  ui = SwaggerUIBundle({
    spec,
    domNode: container,
    deepLinking: false,
    defaultModelsExpandDepth: 0,
    requestInterceptor: (request) => Object.assign(request, { credentials: "omit" }),
    responseInterceptor: (response) => {
      // Continue with the task that was created or read last.
      const task = Array.isArray(response.body) ? response.body[0] : response.body;
      if (response.ok && task?.id) fill("task_id", task.id);
      return response;
    },
    plugins: [
      {
        statePlugins: {
          auth: {
            wrapActions: {
              authorize: (original) => (payload) => {
                const token = payload.bearer?.value ?? "";
                sessionStorage.setItem(KEPT, token);
                const { sub } = tokenClaims(token);
                if (sub) fill("user_id", sub);
                return original(payload);
              },
              logout: (original) => (payload) => {
                sessionStorage.removeItem(KEPT);
                return original(payload);
              },
            },
          },
        },
      },
    ],
    onComplete: () => start && ui.preauthorizeApiKey("bearer", start),
  });
})();
