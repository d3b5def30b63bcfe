"use strict";
(async () => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const tabs = [...document.querySelectorAll("nav button")];
  const sections = [...document.querySelectorAll("main section")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;

  // Charts stand on the page's own colours, light or dark.
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return { ink: of("--ink"), line: of("--line"), paper: of("--paper") };
  };
  const dressed = (layout) => {
    const { ink, line, paper } = colours();
    const made = {
      ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: "system-ui, sans-serif", size: 12 },
      hoverlabel: { bgcolor: paper, font: { color: ink } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink },
      dragmode: touch ? false : "zoom",  // a finger scrolls the page; the buttons zoom
    };
    for (const key of Object.keys(made).filter((key) => /^[xy]axis\d*$/.test(key))) {
      made[key] = { gridcolor: line, zerolinecolor: line, linecolor: line, ...made[key] };
    }
    return made;
  };
  const drawn = new Set();
  const draw = (section) => {
    for (const place of window.Plotly ? section.querySelectorAll(".chart") : []) {
      const chart = charts[place.dataset.chart];
      if (drawn.has(place)) { Plotly.Plots.resize(place); continue; }
      drawn.add(place);
      Plotly.newPlot(place, chart.data, dressed(chart.layout), {
        responsive: true, displaylogo: false, displayModeBar: touch ? true : "hover",
        modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"],
      });
    }
  };
  dark.addEventListener("change", () => {
    for (const place of drawn) Plotly.react(place, place.data, dressed(charts[place.dataset.chart].layout));
  });

  const choose = (number) => {
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", i === number);
      tab.tabIndex = i === number ? 0 : -1;
    });
    sections.forEach((section, i) => { section.hidden = i !== number; });
    tabs[number].scrollIntoView({ block: "nearest", inline: "center" });
    draw(sections[number]);
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => choose(i));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (i + step + tabs.length) % tabs.length;
      tabs[next].focus();
      choose(next);
    });
  });
  choose(0);

  // Plotly is packed, a third of its size; browsers since 2023 unpack it themselves.
  try {
    const packed = Uint8Array.from(atob(document.getElementById("library").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    sections.filter((section) => !section.hidden).forEach(draw);
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    const problem = document.getElementById("problem");
    problem.textContent = `The pictures can't be drawn: ${error.message}. They need a browser of 2023 or later.`;
    problem.hidden = false;
  }
})();
