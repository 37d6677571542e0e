"""Static charts as accessible SVG for the HTML report, one module a chart."""
