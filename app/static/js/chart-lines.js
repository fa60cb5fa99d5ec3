/* Lines of charts: an answer of the series API as the columns that uPlot draws, in the colours and
   looks that the legend has. For the other scripts as chartLines. */
'use strict';
{
  function faded(color, alpha) {
    const legacy = color.match(/^rgba?\(([^,]+),([^,]+),([^,)]+)/);
    return legacy ? `rgba(${legacy[1]},${legacy[2]},${legacy[3]},${alpha})` : color.replace(/\)$/, ` / ${alpha})`);
  }

  function linesOf(figure) {
    return [...figure.querySelectorAll('.legend [data-metric]')].map(item => ({
      metric: item.dataset.metric, look: item.dataset.look ?? '', item, value: item.querySelector('b'),
      label: item.querySelector('i').nextSibling.textContent.trim(),
      color: getComputedStyle(item.querySelector('i')).color,
    }));
  }

  const hostsOf = ([, , counted, known]) => `${counted} of ${known} hosts`;
  const latest = values => values?.findLast(value => value != null) ?? null;

  // The newest value, if it is of the last moments shown.
  function current(values) {
    for (let back = 1; back <= Math.min(3, values.length); back++) {
      if (values[values.length - back] != null) return values[values.length - back];
    }
    return null;
  }

  function added(columns) {
    return columns[0].map((_, at) => columns.every(column => column[at] == null) ? null
      : columns.reduce((sum, column) => sum + (column[at] ?? 0), 0));
  }

  const fillOf = line => line.item.querySelector('i').matches('.k-free') ? 0.1 : 0.34;

  function alone(values) {
    const found = [];
    for (let at = 0; at < values.length; at++) {
      if (values[at] != null && values[at - 1] == null && values[at + 1] == null) found.push(at);
    }
    return found;
  }

  // The lines of a legend with what the answer tells of them; what nobody measured is left out.
  function measured(figure, answer) {
    const found = new Map(answer.series.map(one => [one.key ?? one.metric, one]));
    const nothing = answer.t.map(() => null);
    const all = linesOf(figure).map(line => ({ ...line, ...(found.get(line.metric) ?? { avg: nothing, min: nothing, max: nothing }), label: line.label }));
    // Where not all hosts were seen the sum of the fleet is not known; that of those that were is.
    for (const line of all) line.some = line.avg_counted?.map((value, at) => answer.of[at] ? value : null);
    const known = all.filter(line => [line.avg, line.some ?? []].some(values => latest(values) !== null));
    for (const line of all) line.item.hidden = known.length > 0 && !known.includes(line);
    return known;
  }

  // The columns that uPlot draws, and how.
  function drawn(lines, answer, isStack) {
    // A sample is of its moment, a step is drawn at its middle.
    const half = answer.t.some(at => at % answer.step_seconds) ? 0 : answer.step_seconds / 2;
    const x = answer.t.map(at => at + half);
    const tops = isStack ? lines.map((_, at) => added(lines.slice(0, at + 1).map(line => line.avg))) : lines.map(line => line.avg);
    const data = [x, ...tops];
    const series = [{}, ...lines.map((line, at) => lineOf(line, at, isStack))];
    const bands = [];
    if (isStack) {
      lines.forEach((line, at) => { if (at) bands.push({ series: [at + 1, at], fill: faded(line.color, fillOf(line)) }); });
    } else {
      for (const line of lines) {
        if (line.look === 'limit' || line.look === 'thin' || !line.max?.some((value, at) => value !== line.min[at])) continue;
        data.push(line.max, line.min);
        series.push({ scale: 'y', stroke: null, width: 0, points: { show: false } }, { scale: 'y', stroke: null, width: 0, points: { show: false } });
        bands.push({ series: [data.length - 2, data.length - 1], fill: faded(line.color, 0.17) });
      }
    }
    for (const line of lines) {
      if (!line.some) continue;
      data.push(line.some);
      series.push({ scale: 'y', stroke: faded(line.color, 0.75), width: 1.2, dash: [3, 3], spanGaps: false,
        points: { show: true, size: 3, width: 0, fill: faded(line.color, 0.75), filter: (u, index) => alone(u.data[index]) } });
    }
    return { data, series, bands };
  }

  function peak(data) {
    let most = 0;
    for (const column of data.slice(1)) for (const value of column) if (value > most) most = value;
    return most;
  }

  function lineOf(line, at, isStack) {
    const isLimit = line.look === 'limit';
    return {
      scale: 'y', stroke: line.color, width: isLimit ? 1 : 1.4,
      dash: isLimit ? [5, 3] : line.look === 'dashed' ? [4, 3] : undefined,
      fill: isStack ? (at === 0 ? faded(line.color, fillOf(line)) : undefined) : at === 0 && !line.look ? faded(line.color, 0.13) : undefined,
      spanGaps: false,
      // A value between two unknown ones is no line; it is a dot.
      points: { show: true, size: 3, width: 0, fill: line.color, filter: (u, index) => alone(u.data[index]) },
    };
  }

  globalThis.chartLines = { added, current, drawn, hostsOf, linesOf, measured, peak };
}
