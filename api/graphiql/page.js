// GraphiQL as taskql shows it: the examples beside it, the explorer, and a query from the address.
"use strict";

const { useEditorContext, usePluginStore } = GraphiQL.React;
const { parse } = GraphiQL.GraphQL;
const h = React.createElement;
const PANEL = "taskql:panel"; // the title of the panel that was open last; empty when none was

function Examples({ examples }) {
  const { tabs, activeTabIndex, addTab, changeTab, queryEditor, variableEditor } = useEditorContext({ nonNull: true });
  const queryOf = (tab, index) => (index === activeTabIndex && queryEditor ? queryEditor.getValue() : tab.query);
  const waiting = React.useRef(null); // the example for the tab that is added

  function open({ query, variables }) {
    const there = tabs.findIndex((tab, index) => queryOf(tab, index) === query);
    if (there >= 0) {
      changeTab(there);
      return;
    }
    waiting.current = { query, variables };
    addTab();
  }

  // GraphiQL empties the editors while React renders the new tab, so that they are filled after that.
  const fill = () => {
    if (!waiting.current) return;
    queryEditor.setValue(waiting.current.query);
    variableEditor.setValue(waiting.current.variables);
    waiting.current = null;
  };
  React.useEffect(fill, [tabs.length]);

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

function Brand({ panel, examples }) {
  const { queryEditor } = useEditorContext({ nonNull: true });
  const wrap = () => queryEditor?.setOption("lineWrapping", true); // comments are prose
  React.useEffect(wrap, [queryEditor]);
  useOpenPanel(panel);
  useTabTitles(examples);
  useVariablesPane();
  return "taskql";
}

// GraphiQL 4.1 leaves the panel of its prop visiblePlugin folded.
function useOpenPanel(panel) {
  const { plugins } = usePluginStore();
  const open = () => {
    const index = plugins.findIndex(({ title }) => title === panel);
    document.querySelector(`.graphiql-sidebar [data-index="${index}"]`)?.click();
  };
  React.useEffect(open, [plugins]);
}

// The tab of an example has the title of the example, where GraphiQL shows the name of the operation.
function useTabTitles(examples) {
  const { tabs } = useEditorContext({ nonNull: true });
  const titleOf = ({ query, title }) => examples.find((example) => isOf(example, query))?.title ?? title;
  React.useLayoutEffect(() => tabs.forEach((tab, index) => {
    const button = document.getElementById(`graphiql-session-tab-${index}`);
    if (button) button.textContent = button.title = titleOf(tab);
  }));
}

function isOf(example, query) {
  return Boolean(query?.startsWith(`# ${example.title}\n`));
}

// The pane of variables is open where a tab has some, and closed in every other tab until somebody opens it.
function useVariablesPane() {
  const { tabs, activeTabIndex } = useEditorContext({ nonNull: true });
  const tab = tabs[activeTabIndex];
  const hasVariables = Boolean(tab?.variables?.trim());
  const follow = () => toggleTools(hasVariables);
  const open = () => {
    if (hasVariables) toggleTools(true);
  };
  React.useEffect(follow, [tab?.id]);
  React.useEffect(open, [hasVariables]);
}

function toggleTools(isOpen) {
  document.querySelector(`.graphiql-toggle-editor-tools[aria-label^="${isOpen ? "Show" : "Hide"}"]`)?.click();
}

function Icon() {
  return h("svg", { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", strokeWidth: 1.5, strokeLinecap: "round" },
    h("path", { d: "M9 5h11M9 12h11M9 19h11M4 5h.01M4 12h.01M4 19h.01" }));
}

// Just after an edit GraphiQL may still know the operations of the text before, so the text itself decides: the name that
// is sent is one of its operations. A text that is no document goes as it is, and the server says what is wrong with it.
function matchQuery(params, options) {
  const documentAST = parseQuery(params.query);
  if (!documentAST) return [params, { ...options, documentAST }];
  const { operationName, ...rest } = params;
  const operations = documentAST.definitions.filter(({ kind }) => kind === "OperationDefinition");
  const known = operations.find(({ name }) => name && name.value === operationName);
  const chosen = known ?? (operations.length === 1 ? operations[0] : undefined);
  const name = chosen?.name?.value;
  return [name ? { operationName: name, ...rest } : rest, { ...options, documentAST }];
}

function parseQuery(query) {
  try {
    return parse(query);
  } catch {
    return undefined;
  }
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
      fetcher: (params, options) => send(...matchQuery(params, options)),
      plugins: [list, GraphiQLPluginExplorer.explorerPlugin({ showAttribution: false })],
      onTogglePluginVisibility: (panel) => localStorage.setItem(PANEL, panel ? panel.title : ""),
      defaultTabs: asked.get("query") ? undefined : examples.slice(0, 1),
      defaultQuery: "",
      query: asked.get("query") ?? undefined,
      variables: asked.get("variables") ?? undefined,
      defaultEditorToolsVisibility: false,
      inputValueDeprecation: true,
      schemaDescription: true,
    }, h(GraphiQL.Logo, null, h(Brand, { panel, examples }))));
}

start();
