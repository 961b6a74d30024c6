// The GraphiQL of taskql: with its examples, the explorer, and a query from the address.
"use strict";

const { useEditorContext, usePluginStore } = GraphiQL.React;
const { parse } = GraphiQL.GraphQL;
const h = React.createElement;
const PANEL = "taskql:panel"; // the title of the panel that was open last; empty when none was

function Examples({ examples }) {
  const { tabs, activeTabIndex, addTab, changeTab, queryEditor, variableEditor } = useEditorContext({ nonNull: true });
  const readQuery = (tab, index) => (index === activeTabIndex && queryEditor ? queryEditor.getValue() : tab.query);
  const pending = React.useRef(null); // the example for the tab that is added, and the number of tabs before

  function open({ query, variables }) {
    const openIndex = tabs.findIndex((tab, index) => readQuery(tab, index) === query);
    if (openIndex >= 0) {
      changeTab(openIndex);
      return;
    }
    pending.current = { query, variables, tabCount: tabs.length };
    // GraphiQL stores an edit a moment later. In a click React would add the tab first, then both again in their order.
    setTimeout(addTab);
  }

  // GraphiQL empties the editors while React renders the new tab, so that they are filled after that.
  const fill = () => {
    if (!pending.current || tabs.length <= pending.current.tabCount) return;
    if (!queryEditor.getValue()) {
      queryEditor.setValue(pending.current.query);
      variableEditor.setValue(pending.current.variables);
    }
    if (tabs[activeTabIndex].query) pending.current = null;
  };
  React.useEffect(fill);

  const activeQuery = tabs[activeTabIndex] && readQuery(tabs[activeTabIndex], activeTabIndex);
  const renderItem = (example) =>
    h("li", { key: example.title },
      h("button", { type: "button", "aria-current": example.query === activeQuery, onClick: () => open(example) },
        example.title));
  return h("section", { "aria-label": "Examples" },
    h("div", { className: "graphiql-doc-explorer-title" }, "Examples"),
    h("p", { className: "examples-how" },
      "Choose one, then run it with the pink button or Ctrl-Enter. Each opens in a tab of its own; change it as you like."),
    h("ol", { className: "examples-list" }, examples.map(renderItem)));
}

function Brand({ panel, examples }) {
  const { queryEditor } = useEditorContext({ nonNull: true });
  const wrapLines = () => queryEditor?.setOption("lineWrapping", true); // comments are prose
  React.useEffect(wrapLines, [queryEditor]);
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
  const findTitle = ({ query, title }) => examples.find((example) => isQueryOf(example, query))?.title ?? title;
  React.useLayoutEffect(() => tabs.forEach((tab, index) => {
    const button = document.getElementById(`graphiql-session-tab-${index}`);
    if (button) button.textContent = button.title = findTitle(tab);
  }));
}

function isQueryOf(example, query) {
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

// Just after an edit GraphiQL may still hold the operations of the previous text, so the name to send is chosen from the
// operations of the text itself. A text that does not parse is sent unchanged, and the server explains the mistake.
function matchQuery(params, options) {
  const documentAST = parseQuery(params.query);
  if (!documentAST) return [params, { ...options, documentAST }];
  const { operationName, ...rest } = params;
  const operations = documentAST.definitions.filter(({ kind }) => kind === "OperationDefinition");
  const named = operations.find(({ name }) => name && name.value === operationName);
  const chosen = named ?? (operations.length === 1 ? operations[0] : undefined);
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
  const parameters = new URLSearchParams(location.search);
  const socket = `${location.origin.replace(/^http/, "ws")}${location.pathname}`;
  const send = GraphiQL.createFetcher({ url: location.pathname, subscriptionUrl: socket });
  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    h(GraphiQL, {
      fetcher: (params, options) => send(...matchQuery(params, options)),
      plugins: [list, GraphiQLPluginExplorer.explorerPlugin({ showAttribution: false })],
      onTogglePluginVisibility: (panel) => localStorage.setItem(PANEL, panel ? panel.title : ""),
      defaultTabs: parameters.get("query") ? undefined : examples.slice(0, 1),
      defaultQuery: "",
      query: parameters.get("query") ?? undefined,
      variables: parameters.get("variables") ?? undefined,
      defaultEditorToolsVisibility: false,
      inputValueDeprecation: true,
      schemaDescription: true,
    }, h(GraphiQL.Logo, null, h(Brand, { panel, examples }))));
}

start();
