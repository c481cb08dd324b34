"""The style sheet of the report: light and dark, narrow and wide, screen and paper."""

from __future__ import annotations

_LIGHT = """
--page:#f6f6f3;--surface:#fff;--ink:#1b1d21;--muted:#5c626c;--line:#dcdcd6;--faint:#ecece7;
--helped:19 98 184;--hurt:186 70 12;--same:112 117 126;--accent:19 98 184;
--zero:#f7d84a;--weak:#8f8cc9;--middle:#57539f;--strong:#262262;
"""
_DARK = """
--page:#121417;--surface:#1a1d21;--ink:#e7e9ec;--muted:#a0a7b1;--line:#363b43;--faint:#262a30;
--helped:104 174 250;--hurt:246 146 86;--same:140 147 157;--accent:104 174 250;
--zero:#d8b832;--weak:#6f6cb4;--middle:#45418a;--strong:#211e4f;
"""

STYLE = (
    f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
@media print{{:root{{color-scheme:light;{_LIGHT}--page:#fff}}}}
"""
    + """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main,header,footer{max-width:68rem;margin:0 auto;padding:0 clamp(1rem,4vw,2.5rem)}
header{padding-top:clamp(1.5rem,5vw,3rem)}
footer{padding-bottom:3rem;color:var(--muted);font-size:.85rem}
h1{font-size:clamp(1.35rem,3.6vw,2rem);line-height:1.25;margin:.4rem 0 1.4rem;letter-spacing:-.01em;
font-weight:500;
max-width:46rem;text-wrap:pretty}
h1 .claim{font-weight:700}
h2{font-size:1.2rem;line-height:1.3;margin:0 0 .3rem}
h3{font-size:.95rem;margin:0 0 .35rem}
p{margin:.2rem 0 .9rem;max-width:46rem;text-wrap:pretty}
a{color:rgb(var(--accent));text-underline-offset:.15em}
.lead,figcaption,.quiet{color:var(--muted)}
.quiet,figcaption{font-size:.85rem}
.date{white-space:nowrap}
.eyebrow{color:var(--muted);font-size:.85rem;margin:0}
.helped{--tone:var(--helped)}.hurt{--tone:var(--hurt)}.same{--tone:var(--same)}
.word{color:rgb(var(--tone));font-weight:600;white-space:nowrap}
.same .word,.word.same{color:var(--muted);font-weight:400}
.name{overflow-wrap:anywhere;unicode-bidi:isolate}

.tiles{display:grid;grid-template-columns:repeat(var(--columns,1),minmax(0,1fr));gap:1px;margin:0 0 1.2rem;
background:var(--line);border:1px solid var(--line);border-radius:10px;overflow:hidden}
@media (min-width:34rem){.tiles{--columns:2}}
@media (min-width:62rem){.tiles{--columns:4}}
.tile{background:var(--surface);padding:.9rem 1.1rem;min-width:0}
.tile dt{color:var(--muted);font-size:.85rem}
.tile dd{margin:0}
.tile .big{font-size:1.75rem;line-height:1.25;font-weight:650;letter-spacing:-.015em;overflow-wrap:anywhere}
.tile .big.helped,.tile .big.hurt{color:rgb(var(--tone))}
.tile .mid{font-size:1.05rem;font-weight:600;line-height:1.35;overflow-wrap:anywhere}
.tile .mid+.quiet{margin-bottom:.45rem}
.tile .quiet{display:block}
.stack{display:flex;gap:2px;height:10px;margin:.55rem 0 .4rem}
.stack i{background:rgb(var(--tone));border-radius:2px;min-width:3px}
.key{display:inline-block;width:.7em;height:.7em;border-radius:2px;background:rgb(var(--tone));
margin-right:.35em}

nav{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.9rem;margin-bottom:1.4rem}
section{background:var(--surface);border:1px solid var(--line);border-radius:10px;
padding:clamp(1rem,2.6vw,1.6rem);
margin:0 0 1.2rem;scroll-margin-top:1rem}
figure{margin:.9rem 0 0;min-width:0}
figcaption{margin-top:.4rem;max-width:46rem}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1.6rem 2.2rem}
.multiples{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr));gap:1.1rem 1.4rem}
ul{margin:.3rem 0 .9rem;padding-left:1.2rem}
li{margin:.15rem 0;max-width:46rem}
details{margin-top:1rem}
summary{cursor:pointer;color:rgb(var(--accent));font-size:.9rem}
details[open] summary{margin-bottom:.6rem}

.scroll{overflow-x:auto;max-width:100%}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid rgb(var(--accent));
outline-offset:2px}
table{border-collapse:collapse;font-size:.875rem}
.data{width:100%;border-collapse:separate;border-spacing:0}
.data th,.data td{padding:.34rem .6rem;text-align:right;white-space:nowrap;
border-bottom:1px solid var(--faint)}
.data thead th{font-weight:500;color:var(--muted);vertical-align:bottom;border-bottom:1px solid var(--line)}
.data .text{text-align:left}
.data th.text{font-weight:500}
.data .name{white-space:normal;min-width:9rem;max-width:20rem}
.data thead .name{min-width:0;white-space:nowrap}
.data .strong{font-weight:700}
.data .heat{background:rgb(var(--tone)/var(--a,0))}
.data th:first-child{padding-left:0;position:sticky;left:0;background:var(--surface)}
.data .group th{color:var(--muted);font-weight:500;padding-top:.9rem}
.data .stripcell{width:55%;min-width:12rem;padding-top:2px;padding-bottom:2px}

.forest{width:100%;display:block}
.forest thead,.forest tbody{display:block}
.forest tr{display:grid;align-items:center;column-gap:.9rem;
grid-template-columns:clamp(8rem,22vw,15rem) minmax(0,1fr) 4.4rem 8rem 6.4rem}
.forest th,.forest td{padding:0;text-align:left;font-weight:400}
.forest .label{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.forest .gain{text-align:right;font-weight:600}
.forest .interval{color:var(--muted);white-space:nowrap}
.forest thead th{color:var(--muted);font-size:.82rem}
.forest .all{align-items:start}
.forest .overall .label{font-weight:700}
.forest .overall{border-bottom:1px solid var(--line)}
.forest svg{display:block}
@media (max-width:60rem){
.forest tr{grid-template-columns:clamp(8rem,22vw,15rem) minmax(0,1fr) 4.4rem 6.4rem}
.forest .interval{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
}
@media (max-width:44rem){
.forest tr{grid-template-columns:minmax(0,1fr) auto;grid-template-areas:"label gain" "plot plot";
column-gap:.6rem;border-bottom:1px solid var(--faint);padding-top:.25rem}
.forest .label{grid-area:label}.forest .plot{grid-area:plot}.forest .gain{grid-area:gain}
.forest .verdict{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.forest tr.helped .gain,.forest tr.hurt .gain{color:rgb(var(--tone))}
}

svg text{fill:var(--muted);font-size:12px;font-family:inherit}
svg .grid{stroke:var(--faint)}
svg .zero{stroke:var(--muted);stroke-opacity:.65}
svg .range{stroke:rgb(var(--tone));stroke-width:2}
svg .mark{fill:rgb(var(--tone));stroke:var(--surface);stroke-width:1.5}
.same .mark,svg .mark.same{fill:var(--surface);stroke:rgb(var(--tone));stroke-width:2}
svg .band{fill:rgb(var(--tone)/.16)}
svg .curve{fill:none;stroke:rgb(var(--tone));stroke-width:2;stroke-linejoin:round}
svg .curve.train{stroke:rgb(var(--same));stroke-width:1.5;stroke-dasharray:4 3}
svg .curve.thin{stroke-width:1;stroke-opacity:.4}
svg .cell{fill:rgb(var(--tone))}
svg .value{fill:var(--ink);text-anchor:middle;dominant-baseline:central}
svg .value.on{fill:var(--surface)}
svg .zerocell{fill:var(--zero)}svg .weak{fill:var(--weak)}svg .middle{fill:var(--middle)}
svg .strong{fill:var(--strong)}
.swatch{border:1px solid var(--line)}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;vertical-align:-.05em;
margin:0 .3em 0 .8em}
.swatch:first-child{margin-left:0}
.swatch.zerocell{background:var(--zero)}.swatch.weak{background:var(--weak)}
.swatch.middle{background:var(--middle)}
.swatch.strong{background:var(--strong)}
.swatch.tint{background:rgb(var(--tone)/var(--a,1))}
.swatch.blank{background:var(--surface)}

.chart{display:grid;grid-template-columns:3.1rem minmax(0,1fr);max-width:36rem}
.chart svg{display:block;overflow:visible}
.matrix{display:grid;grid-template-columns:minmax(0,auto) minmax(0,1fr);column-gap:.5rem;max-width:32rem}
.matrix.bare{grid-template-columns:minmax(0,1fr)}
.matrix .square{aspect-ratio:1;width:100%;min-width:0}
.matrix svg,.panel svg{display:block}
.rows{display:grid;grid-auto-rows:minmax(0,1fr);font-size:.78rem;line-height:1;min-width:0}
.rows span{align-self:center;text-align:right;line-height:1.25;white-space:nowrap;overflow:hidden;
text-overflow:ellipsis;color:var(--muted)}
.panel{display:grid;grid-template-columns:clamp(4rem,18vw,10rem) minmax(0,1fr);column-gap:.6rem;
margin-bottom:.9rem}
.panel.bare{grid-template-columns:minmax(0,1fr)}
.panel h3{grid-column:1/-1}
dl.run{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.25rem 1.2rem;margin:.3rem 0 0;
font-size:.9rem}
dl.run dt{color:var(--muted)}
dl.run dd{margin:0;overflow-wrap:anywhere}
@media print{
body{font-size:11pt}main,header,footer{max-width:none;padding:0}nav{display:none}
section{border:0;padding:0;margin-bottom:1.5rem;break-inside:auto}
figure,.tile,tr,.panel{break-inside:avoid}h2,h3{break-after:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
details::details-content{content-visibility:visible;block-size:auto}
}
"""
)
