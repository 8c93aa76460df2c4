"use strict";
// Draws each figure in the colours of the page's style, and again when the reader changes them.
(() => {
  const ids = [...document.querySelectorAll("section")].map((one) => one.id);
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const style = () => {
    const of = getComputedStyle(document.documentElement);
    return (name) => of.getPropertyValue(`--${name}`).trim();
  };

  const axis = (given, colour) => ({
    ...given,
    title: { text: given.title, font: { size: 12, color: colour("soft") }, standoff: 8 },
    color: colour("soft"),
    gridcolor: colour("line"),
    zerolinecolor: colour("line"),
    linecolor: colour("line"),
    tickfont: { size: 12 },
  });

  const draw = (figure, place) => {
    const colour = style();
    const traces = figure.traces.map(({ colour: name, ...trace }) => ({
      ...trace,
      marker: { color: colour(name) },
      textposition: "outside",
      cliponaxis: false,
      constraintext: "none",
      textfont: { color: colour("ink"), size: 12 },
    }));
    const along = axis(figure.along, colour);
    const amounts = axis({ ...figure.amounts, tickformat: ",~g", separatethousands: true }, colour);
    return Plotly.react(
      place,
      traces,
      {
        height: figure.height,
        barmode: figure.barmode,
        bargap: 0.25,
        showlegend: false, // the page has its own, which wraps
        margin: { l: 8, r: 14, t: 10, b: 8 },
        font: { family: getComputedStyle(document.body).fontFamily, color: colour("ink"), size: 13 },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        hoverlabel: { bgcolor: colour("paper"), bordercolor: colour("line"), font: { color: colour("ink") } },
        xaxis: figure.lying ? amounts : along,
        yaxis: figure.lying ? along : amounts,
      },
      { displayModeBar: false, responsive: true },
    );
  };

  const all = () =>
    figures.forEach((figure, at) => {
      if (figure) draw(figure, document.getElementById(`${ids[at]}-picture`));
    });
  all();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
})();
