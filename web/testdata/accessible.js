// Checks of a page as it is shown, after WCAG 2.2; the rule chooses which. Returns
// what is wrong, in words.
(rule) => {
  const bad = [];
  const name = (e) => '<' + e.tagName.toLowerCase() + (e.id ? '#' + e.id : '') + '> ' + (e.textContent || '').trim().replace(/\s+/g, ' ').slice(0, 40);
  const say = (what, e) => bad.push(what + (e ? ': ' + name(e) : ''));
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shown = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== 'hidden' && !e.closest('.sr');

  // 1.3.1, 2.4.1, 2.4.2, 3.1.1, 3.3.1, 4.1.2
  function structure() {
    const ids = new Set();
    for (const e of all('[id]')) {
      if (ids.has(e.id)) say('the id is there twice', e);
      ids.add(e.id);
    }
    for (const one of ['h1', 'main', 'header', 'footer', 'title']) {
      if (all(one).length !== 1) say('there is not one ' + one);
    }
    if (!/^(zh-CN|en)$/.test(document.documentElement.lang)) say('the language is ' + document.documentElement.lang);
    let level = 0;
    for (const h of all('h1, h2, h3, h4').filter(shown)) {
      const next = Number(h.tagName[1]);
      if (next > level + 1) say('a level of headings is left out', h);
      level = next;
    }
    const outside = ':not(header):not(nav):not(main):not(footer):not(script)';
    for (const e of all('body > ' + outside + ':not(.house), .house > ' + outside)) if (shown(e)) say('outside every landmark', e);
    for (const e of all('[tabindex]')) if (e.tabIndex > 0) say('a place of its own in the tab order', e);
    for (const e of all('img, svg:not([aria-hidden=true]):not([role=img] *)')) if (!e.hasAttribute('alt') && e.tagName === 'IMG' || e.tagName === 'svg') say('no text instead', e);
    for (const e of all('input:not([type=hidden]), select, textarea')) {
      if (![...(e.labels || [])].some((l) => l.textContent.trim()) && !e.getAttribute('aria-label')) say('no label', e);
    }
    for (const e of all('[aria-describedby], [aria-labelledby]')) {
      for (const id of (e.getAttribute('aria-describedby') || e.getAttribute('aria-labelledby')).split(' ')) {
        if (!document.getElementById(id)) say('described by ' + id + ', which is not there', e);
      }
    }
    for (const e of all('[aria-invalid=true]')) {
      const said = (e.getAttribute('aria-describedby') || '').split(' ').map((id) => document.getElementById(id));
      if (!said.some((s) => s && s.getAttribute('role') === 'alert' && s.textContent.trim())) say('wrong, and nothing says why', e);
    }
    const alerts = all('[role=alert]').length;
    const told = /^(Error: |错误：)/.test(document.title);
    if (told !== (alerts > 0 || !!document.getElementById('page-error'))) say('the title ' + (told ? 'speaks' : 'does not speak') + ' of an error');
    // 1.4.1
    for (const e of all('p a, label a, dd a')) {
      const inline = !/flex|grid/.test(getComputedStyle(e.parentElement).display) && e.parentElement.textContent.trim() !== e.textContent.trim();
      if (inline && !getComputedStyle(e).textDecorationLine.includes('underline')) say('told from its sentence by colour alone', e);
    }
    for (const e of all('a[target=_blank]')) if (!e.querySelector('.sr') && !e.closest('footer')) say('opens a new tab without saying so', e);
  }

  // 1.4.3, by computed styles
  const rgba = (s) => {
    const v = s.match(/[\d.]+/g).map(Number);
    return { c: v.slice(0, 3), a: v.length > 3 ? v[3] : 1 };
  };
  const over = (top, under, alpha) => top.map((v, i) => v * alpha + under[i] * (1 - alpha));
  function ground(e) {
    const layers = [];
    for (let at = e; at; at = at.parentElement) {
      const b = rgba(getComputedStyle(at).backgroundColor);
      if (b.a > 0) layers.push(b);
      if (b.a === 1) break;
    }
    let c = [255, 255, 255];
    for (const l of layers.reverse()) c = over(l.c, c, l.a);
    return c;
  }
  const luminance = (c) => c.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  function contrast() {
    let texts = 0;
    for (const e of all('body *')) {
      const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || e.tagName === 'INPUT' && e.value && e.type !== 'hidden';
      if (!own || !shown(e) || e.closest('select, [aria-disabled=true], noscript, audio')) continue;
      texts++;
      const style = getComputedStyle(e);
      const under = ground(e);
      const ink = rgba(style.color);
      const a = luminance(over(ink.c, under, ink.a));
      const b = luminance(under);
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const size = parseFloat(style.fontSize);
      const least = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700 ? 3 : 4.5;
      if (ratio < least) say('contrast ' + ratio.toFixed(2), e);
    }
    if (texts < 5) say('only ' + texts + ' texts were looked at');
  }

  // 2.5.5 but for links within a sentence
  function size() {
    for (const e of all('a[href], button, input:not([type=hidden]), select')) {
      if (!shown(e) || e.tagName === 'A' && e.closest('p, label, dd')) continue;
      const boxes = [e, ...(e.type === 'checkbox' ? e.labels : []), ...(e.closest('.cells, .frame') ? [e.parentElement] : [])].map((x) => x.getBoundingClientRect());
      const width = Math.max(...boxes.map((b) => b.right)) - Math.min(...boxes.map((b) => b.left));
      const height = Math.max(...boxes.map((b) => b.bottom)) - Math.min(...boxes.map((b) => b.top));
      if (e.type === 'checkbox' ? height < 24 : height < 44 || width < 44) say('smaller than a finger, ' + Math.round(width) + ' x ' + Math.round(height), e);
    }
  }

  // 1.4.4, 1.4.10: no text beyond the edge, none under another
  function fit() {
    const edge = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > edge) say('the page is ' + document.documentElement.scrollWidth + ' wide');
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const e = texts.currentNode.parentElement;
      if (!texts.currentNode.data.trim() || !shown(e) || e.closest('pre, select, noscript')) continue;
      const range = document.createRange();
      range.selectNodeContents(texts.currentNode);
      for (const r of range.getClientRects()) {
        if (r.right > edge + 1 || r.left < -1) { say('cut off', e); break; }
      }
      const box = e.closest('button, .button, .problem, .rows > div');
      if (box && box.getBoundingClientRect().right + 1 < range.getBoundingClientRect().right) say('sticks out', e);
    }
    for (const e of all('input:not([type=hidden]):not([type=checkbox]), select, button')) {
      if (shown(e) && e.id !== 'code' && e.getBoundingClientRect().right > edge + 1) say('beyond the edge', e);
    }
  }

  ({ structure, contrast, size, fit })[rule]();
  return bad;
}
