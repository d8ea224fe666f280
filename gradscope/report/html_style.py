"""The look of the HTML report: system fonts, one column, light and dark, paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #565656; --page: #ffffff;
  --card: #f5f6f7; --line: #d7dadd; --link: #005a9c; --warn: #8a3b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --soft: #b4b8bc; --page: #16181a;
  --card: #212427; --line: #3b4045; --link: #7cc0ff; --warn: #ffb27a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.55;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
main, footer { max-width: 60rem; margin: 0 auto; padding: 0 1rem; }
header { padding: 1.5rem 0 0.5rem; border-bottom: 1px solid var(--line); }
.brand { margin: 0; color: var(--soft); font-size: 0.9rem; letter-spacing: 0.04em; }
h1 { margin: 0.2rem 0 0.4rem; font-size: clamp(1.25rem, 4.2vw, 1.9rem); line-height: 1.25; }
h2 { margin: 2rem 0 0.6rem; font-size: 1.2rem; }
.subject, figcaption, footer { color: var(--soft); }
.warning { color: var(--warn); font-weight: 600; }
p, li, td, th, figcaption, h1 { overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-size: 0.93rem; }
th, td { padding: 0.3rem 0.4rem; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums; vertical-align: top; }
th:first-child { text-align: left; }
tbody th { font-weight: 400; }
figure { margin: 0; padding: 0.75rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 0.4rem; }
figure img { display: block; width: 100%; height: auto; background: #ffffff; }
figcaption { margin-top: 0.6rem; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
pre { padding: 0.7rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 0.4rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.88rem; }
footer { padding: 1.5rem 1rem 2.5rem; font-size: 0.9rem; }
@media print { :root { --ink: #000000; --soft: #333333; --page: #ffffff; --card: #ffffff;
  --line: #bbbbbb; --link: #000000; } section, figure, table { break-inside: avoid; }
  details > * { display: block; } }
"""
