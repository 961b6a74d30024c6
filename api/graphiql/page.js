// GraphiQL as taskql shows it: the examples beside it, the explorer, and a query from the address.
"use strict";

const { useEditorContext, usePluginStore } = GraphiQL.React;
const h = React.createElement;
const PANEL = "taskql:panel"; // the title of the panel that was open last; empty when none was

function Examples({ examples }) {
  const { tabs, activeTabIndex, addTab, changeTab, queryEditor, variableEditor } = useEditorContext({ nonNull: true });
  const queryOf = (tab, index) => (index === activeTabIndex && queryEditor ? queryEditor.getValue() : tab.query);

  function open({ query, variables }) {
    const there = tabs.findIndex((tab, index) => queryOf(tab, index) === query);
    if (there >= 0) {
      changeTab(there);
      return;
    }
    const fill = () => {
      queryEditor.setValue(query);
      variableEditor.setValue(variables);
    };
    ReactDOM.flushSync(addTab); // the editors have to be those of the new tab
    fill();
    // React may apply the new tab once more, and empty it
    setTimeout(() => queryEditor.getValue() || fill(), 300);
  }

  const shown = tabs[activeTabIndex] && queryOf(tabs[activeTabIndex], activeTabIndex);
  const item = (example) =>
    h("li", { key: example.title },
      h("button", { type: "button", "aria-current": example.query === shown, onClick: () => open(example) },
        example.title));
  return h("section", { "aria-label": "Examples" },
    h("div", { className: "graphiql-doc-explorer-title" }, "Examples"),
    h("p", { className: "examples-how" },
      "Choose one, then run it with the pink button or Ctrl-Enter. Each opens in a tab of its own; change it as you like."),
    h("ol", { className: "examples-list" }, examples.map(item)));
}

function Brand({ panel }) {
  const { queryEditor } = useEditorContext({ nonNull: true });
  const { plugins } = usePluginStore();
  const wrap = () => queryEditor?.setOption("lineWrapping", true); // comments are prose
  const show = () => {
    // GraphiQL 4.1 leaves the panel of its prop visiblePlugin folded
    const index = plugins.findIndex(({ title }) => title === panel);
    document.querySelector(`.graphiql-sidebar [data-index="${index}"]`)?.click();
  };
  React.useEffect(wrap, [queryEditor]);
  React.useEffect(show, [plugins]);
  return "taskql";
}

function Icon() {
  return h("svg", { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", strokeWidth: 1.5, strokeLinecap: "round" },
    h("path", { d: "M9 5h11M9 12h11M9 19h11M4 5h.01M4 12h.01M4 19h.01" }));
}

// Just after a tab was opened GraphiQL may still know the operation of the tab before, and its kind. What is an operation
// stands at the beginning of a line; a field of that name does not.
function ofThisQuery({ operationName, ...rest }, options) {
  const found = [...rest.query.matchAll(/^(query|mutation|subscription)\b[^\S\n]*(\w*)/gm)];
  const [, , name] = found.find(([, , known]) => known === operationName) ?? (found.length === 1 ? found[0] : []);
  const definitions = found.map(([, operation, value]) => ({
    kind: "OperationDefinition", operation, name: value ? { kind: "Name", value } : undefined,
  }));
  const documentAST = { kind: "Document", definitions };
  return [name ? { operationName: name, ...rest } : rest, { ...options, documentAST }];
}

async function start() {
  const files = new URL(document.querySelector("script[src$='/page.js']").src);
  const examples = await (await fetch(new URL("examples.json", files))).json();
  const list = { title: "Examples", icon: Icon, content: () => h(Examples, { examples }) };
  const panel = localStorage.getItem(PANEL) ?? list.title;
  const asked = new URLSearchParams(location.search);
  const socket = `${location.origin.replace(/^http/, "ws")}${location.pathname}`;
  const send = GraphiQL.createFetcher({ url: location.pathname, subscriptionUrl: socket });
  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    h(GraphiQL, {
      fetcher: (params, options) => send(...ofThisQuery(params, options)),
      plugins: [list, GraphiQLPluginExplorer.explorerPlugin({ showAttribution: false })],
      onTogglePluginVisibility: (panel) => localStorage.setItem(PANEL, panel ? panel.title : ""),
      defaultTabs: asked.get("query") ? undefined : examples,
      defaultQuery: "",
      query: asked.get("query") ?? undefined,
      variables: asked.get("variables") ?? undefined,
      defaultEditorToolsVisibility: "variables",
      inputValueDeprecation: true,
      schemaDescription: true,
    }, h(GraphiQL.Logo, null, h(Brand, { panel }))));
}

start();
