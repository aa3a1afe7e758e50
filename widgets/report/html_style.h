// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

/// The style of HTML reports: one column to read, tables that scroll by themselves, figures on white paper in both
/// colour schemes, and a print layout.
inline constexpr const char* htmlReportStyle = R"css(
:root { --page: #ffffff; --text: #1b1e23; --muted: #5c6470; --line: #d9dde3; --band: #f5f6f8; --accent: #1668b0; --note: #eef5fc; }
@media (prefers-color-scheme: dark) {
  :root { --page: #1e2024; --text: #e6e8eb; --muted: #a4abb5; --line: #3c4048; --band: #26292e; --accent: #6fb3ea; --note: #233140; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 2.6rem 0 .8rem; padding-top: .6rem; border-top: 1px solid var(--line); }
p { margin: .6rem 0; overflow-wrap: anywhere; }
.byline { color: var(--muted); }
.notes { white-space: pre-line; background: var(--note); border-left: 3px solid var(--accent); padding: .6rem .9rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; padding: 0; margin: 1.2rem 0 0; }
a { color: var(--accent); }
.table { overflow: auto; margin: .8rem 0 1.4rem; border: 1px solid var(--line); border-radius: 6px; }
.long { max-height: 34rem; }
table { border-collapse: collapse; width: 100%; font-size: .83rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .5rem .7rem; }
th, td { padding: .28rem .6rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
th { position: sticky; top: 0; vertical-align: bottom; background: var(--band); font-weight: 600; }
tbody tr:nth-child(even) { background: var(--band); }
.number { text-align: right; }
td.number { white-space: nowrap; }
td { overflow-wrap: break-word; }
td:first-child:not(.number) { min-width: 9rem; }
figure { margin: 1.2rem 0 .6rem; }
figure svg { display: block; width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); border-radius: 6px; }
figcaption { color: var(--muted); font-size: .9rem; margin-top: .35rem; }
details { margin: 0 0 1.4rem; }
summary { cursor: pointer; color: var(--accent); font-size: .9rem; }
pre { background: var(--band); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; overflow: auto; font-size: .84rem; line-height: 1.45; }
@media print {
  :root { --page: #ffffff; --text: #000000; --muted: #444444; --line: #bbbbbb; --band: #f2f2f2; --accent: #000000; --note: #f2f2f2; }
  main { max-width: none; padding: 0; }
  nav, details { display: none; }
  .table, .long { overflow: visible; max-height: none; }
  th { position: static; }
  thead { display: table-header-group; }
  tr, figure, pre { break-inside: avoid; }
  h2, caption { break-after: avoid; }
}
)css";
