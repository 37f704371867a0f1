/** Colours mean the same everywhere: green is well, amber is open, red is wrong, violet is what was done to it. */
export const style = `
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1c2330;--soft:#667085;--line:#e3e7ee;
--ok:#2f9e6e;--okbar:#7fcaa8;--bad:#d6344b;--warn:#c67a00;--call:#3b6fd4;--fault:#8b3fd1;--bind:#1f8fb3;--dark:#1c233022}
@media(prefers-color-scheme:dark){:root{--bg:#0f141c;--card:#171e29;--ink:#e8ecf3;--soft:#98a3b5;--line:#283141;
--ok:#4cc38f;--okbar:#2d7d5d;--bad:#ff6b7f;--warn:#f0b145;--call:#7da7ff;--fault:#c08bff;--bind:#5cc6e6;--dark:#ffffff22}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
header,main{max-width:1200px;margin:0 auto;padding:0 20px}header{padding-top:28px}
.eyebrow{margin:0;color:var(--soft);letter-spacing:.04em}h1{margin:2px 0 0;font-size:clamp(26px,5vw,42px);line-height:1.15}
h3{font-size:14px;margin:18px 0 6px}.sub{color:var(--soft);margin:4px 0}.good{color:var(--ok)}.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(118px,1fr));gap:12px;padding:0;margin:22px 0;list-style:none}
.tiles li,.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.tiles b{display:block;font-size:28px;line-height:1.1;font-variant-numeric:tabular-nums}.tiles span{color:var(--soft);font-size:13px}
.tiles .good b{color:var(--ok)}.tiles .bad b{color:var(--bad)}.tiles .warn b{color:var(--warn)}
.card{margin:0 0 16px}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}th{color:var(--soft);font-weight:500}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}a{color:inherit}
summary{cursor:pointer;font-weight:600;font-size:17px}summary .sub{font-weight:400;font-size:14px;display:block;margin-left:18px}
.wrong{border-left:4px solid var(--bad);padding:6px 12px 6px 26px;margin:12px 0}.wrong li{margin:6px 0}
.tools{display:flex;flex-wrap:wrap;gap:8px 24px;align-items:center;margin:14px 0 8px;font-size:13px;color:var(--soft)}
.tools label{display:flex;gap:8px;align-items:center}.legend{display:flex;flex-wrap:wrap;gap:4px 14px;list-style:none;margin:0;padding:0}
.k{display:inline-block;width:14px;height:10px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.k.ok{background:var(--okbar)}.k.fail{background:var(--bad)}.k.rollback{background:var(--soft)}.k.info{background:var(--warn)}
.k.call{background:var(--call);height:4px;vertical-align:2px}.k.blackout{background:var(--dark)}
.k.fault{background:var(--fault);border-radius:50%;width:10px}.k.bind{background:var(--bind);width:3px}
.time{display:flex;border:1px solid var(--line);border-radius:8px;overflow:hidden}
.names{list-style:none;margin:0;padding:0 10px;flex:none;max-width:34vw;font-size:12px;border-right:1px solid var(--line);color:var(--soft)}
.names li{height:22px;line-height:22px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.wide{overflow-x:auto;flex:1;min-width:0}.inner{position:relative;min-width:100%}svg{display:block}
.lane{border-top:1px solid var(--line)}.axis text{font-size:10px;fill:var(--soft)}.axis line{stroke:var(--line)}
rect.ok{fill:var(--okbar)}rect.fail{fill:var(--bad)}rect.rollback{fill:var(--soft);opacity:.55}rect.info{fill:var(--warn)}
rect.call{fill:var(--call)}rect.move{fill:var(--bind)}rect.blackout{fill:var(--dark)}rect.fault{fill:var(--fault);opacity:.5}
circle.fault{fill:var(--fault)}circle.kill{fill:var(--bad)}circle.refused{fill:var(--warn)}
line.bind{stroke:var(--bind);stroke-width:1.5}[data-t]{cursor:pointer}rect[data-t]:hover,circle[data-t]:hover{filter:brightness(1.25)}
.bars{list-style:none;margin:0;padding:0;font-size:13px}.bars li{display:grid;grid-template-columns:minmax(0,260px) 1fr 44px;gap:10px;align-items:center}
.bars span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.bars i{height:9px;border-radius:5px;background:var(--fault);opacity:.75;min-width:2px}.bars b{font-weight:500;text-align:right}
#tip{position:fixed;left:12px;right:12px;bottom:12px;margin:0 auto;max-width:640px;background:var(--ink);color:var(--bg);
padding:9px 14px;border-radius:10px;font-size:13px;box-shadow:0 6px 24px #0005}
@media(max-width:560px){header,main{padding-left:12px;padding-right:12px}.tiles{grid-template-columns:repeat(2,1fr)}
.bars li{grid-template-columns:minmax(0,150px) 1fr 36px}.names{max-width:30vw;padding:0 6px}}
`;

/** Looking closer keeps the middle where it is; what one points at, or taps, is told at the foot of the page. */
export const script = `
for(const tools of document.querySelectorAll('.tools input'))tools.addEventListener('input',()=>{
const wide=tools.closest('.tools').parentElement.querySelector('.wide'),inner=wide.firstElementChild;
const middle=(wide.scrollLeft+wide.clientWidth/2)/inner.clientWidth;inner.style.width=tools.value*100+'%';
wide.scrollLeft=middle*inner.clientWidth-wide.clientWidth/2});
const tip=document.getElementById('tip');
const tell=(event)=>{const text=event.target.dataset?.t;tip.hidden=!text;if(text)tip.textContent=text};
document.addEventListener('pointerover',tell);document.addEventListener('click',tell);
const open=()=>{const run=document.querySelector(location.hash||'#none');if(run)run.open=true};
addEventListener('hashchange',open);open();
`;
