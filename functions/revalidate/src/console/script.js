// The publishing page. Paths and error messages are untrusted, so they are inserted as text, never as markup.
(() => {
  'use strict';
  const $ = (id) => document.getElementById(id);
  const make = (tag, className, text) => Object.assign(document.createElement(tag), { className: className || '', textContent: text ?? '' });
  const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };

  const api = location.pathname.replace(/\/publish\/?$/, '');
  const dev = 'dev' in document.documentElement.dataset;
  const KEPT = `perennial-secret ${api}`;
  const POLL_MS = 3000, RETRY_MOST_MS = 30000, TYPED_MS = 300, NEWS_MS = 2000, CALLS_SHOWN = 20, NEWS_SHOWN = 8, FOLLOWED_MOST = 4;

  // ------------------------------------------------------------ requests

  let secret = '';
  try { secret = sessionStorage.getItem(KEPT) || ''; } catch { /* Without storage the user enters the secret after each reload. */ }

  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

  // The secret is sent in `authorization` only, never in a URL or a cookie.
  const ask = (path, options = {}) => fetch(api + path, {
    cache: 'no-store', credentials: 'omit', ...options,
    headers: { authorization: dev ? 'Development' : `Bearer ${secret}`, ...options.headers },
  });

  const json = async (answer) => { try { return await answer.json(); } catch { return {}; } };

  // ------------------------------------------------------------ time

  let ahead = 0; // Milliseconds by which the server's clock is ahead of the browser's.
  const now = () => Date.now() + ahead;

  const span = (ms) => {
    const s = Math.max(0, Math.round(ms / 1000));
    if (s < 120) return `${s} s`;
    if (s < 7200) return `${Math.floor(s / 60)} min`;
    if (s < 172800) return `${Math.floor(s / 3600)} h`;
    return `${Math.floor(s / 86400)} d`;
  };

  // ------------------------------------------------------------ the table

  const rows = new Map();
  // The texts of the reasons in `page.why`.
  const WHY = { old: 'Its period has ended', invalidated: 'Invalidated', 'from the future': 'Stamped by a clock that is ahead' };
  const KINDS = { 'not-found': '404', redirect: 'redirect' };
  const NAMES = { live: 'rendered each time' };

  function newRow(page) {
    const tr = make('tr'), row = { tr, page };
    const cell = (className, label) => {
      const td = make('td', className);
      if (label) td.dataset.label = label;
      return tr.appendChild(td);
    };
    tr.dataset.key = page.key;
    const first = cell('page');
    // Only addresses of this site become links.
    const link = page.href && page.href.startsWith('/') && !page.href.startsWith('//');
    const name = first.appendChild(make(link ? 'a' : 'b', '', page.path));
    // In a new tab: the site's scripts must not run in the tab that holds the secret.
    if (link) Object.assign(name, { href: page.href, target: '_blank', rel: 'noopener' });
    if (page.route !== page.path) first.append(make('span', 'route', page.route || 'no route of this build'));
    row.state = cell('state');
    row.badge = row.state.appendChild(make('span', 'badge'));
    row.running = row.state.appendChild(make('span', 'badge running', 'rendering now'));
    row.why = row.state.appendChild(make('p', 'why'));
    row.error = row.state.appendChild(make('div', 'error'));
    row.failed = row.error.appendChild(make('b'));
    row.message = row.error.appendChild(make('code'));
    row.age = cell('age', 'Age');
    row.next = cell('next', 'Next renewal');
    row.generation = cell('num generation', 'Generation');
    actions(row, cell('do'));
    return row;
  }

  function actions(row, td) {
    if (!row.page.href) return;
    const { href, path } = row.page;
    const button = (text, className, act) => {
      const it = make('button', className, text);
      it.type = 'button';
      it.setAttribute('aria-label', `${text} ${path}`);
      it.addEventListener('click', () => { row.tr.querySelectorAll('details').forEach((d) => { d.open = false; }); act(); });
      return it;
    };
    row.go = td.appendChild(button(dev ? 'Render' : 'Revalidate', 'quiet small', () => call({ path: href }, 'now', path, row.go)));
    if (dev) return;
    const more = td.appendChild(make('details', 'more')), summary = more.appendChild(make('summary', '', '⋯'));
    summary.setAttribute('aria-label', `More for ${path}`);
    const menu = more.appendChild(make('div'));
    menu.append(
      button('Mark as stale', '', () => call({ path: href }, 'stale', path)),
      button('Open a draft', '', () => draft(href, path)),
      button('Delete…', 'danger', async () => { if (await sure(path)) call({ path: href }, 'delete', path); }),
    );
  }

  function fill(row, page) {
    const grown = row.page.generation < page.generation;
    row.page = page;
    const state = page.kind === 'deleted' ? 'deleted' : page.state;
    put(row.badge, [NAMES[state] || state, KINDS[page.kind]].filter(Boolean).join(' · '));
    row.badge.className = `badge ${page.state}`;
    put(row.generation, page.generation ? String(page.generation) : '–');
    put(row.message, page.last_error ? page.last_error.message : '');
    row.error.hidden = !page.last_error;
    if (grown) {
      row.tr.classList.remove('new');
      void row.tr.offsetWidth; // A reflow restarts the animation.
      row.tr.classList.add('new');
    }
    tell(row);
  }

  // Updates the texts that depend on the time.
  function tell(row) {
    const { page } = row, at = now();
    const old = page.state === 'fresh' && page.fresh_until_ms && page.fresh_until_ms <= at;
    if (old) { put(row.badge, row.badge.textContent.replace('fresh', 'stale')); row.badge.className = 'badge stale'; }
    const stale = old || page.state === 'stale', shown = page.started_at_ms && page.kind !== 'deleted';
    let why = WHY[old ? 'old' : page.why] || '';
    if (page.why === 'invalidated') {
      const call = published.get(page.invalidated_by);
      why += ` by call ${page.invalidated_by}${call ? `, ${span(at - call.at)} ago` : ''}`;
    }
    if (!shown && page.listed && !page.last_error) why = 'Listed, and not rendered yet';
    put(row.why, why);
    row.running.hidden = !(page.leased_until_ms > at);
    put(row.age, shown ? span(at - page.started_at_ms) : '–');
    const fresh = () => page.fresh_until_ms ? `in ${span(page.fresh_until_ms - at)}` : 'on demand';
    put(row.next, dev ? '–' : !row.running.hidden ? 'now' : stale ? 'next visit' : page.state === 'missing' ? 'first visit' : fresh());
    const failure = page.last_error;
    if (failure) {
      const wait = failure.retry_at_ms - at;
      put(row.failed, `Failed ${failure.count === 1 ? 'once' : `${failure.count} times`}, ${span(at - failure.at_ms)} ago`);
      if (shown && wait > 0) put(row.next, `not before ${span(wait)}`);
    }
  }

  function change(pages, gone = []) {
    for (const key of gone) { rows.get(key)?.tr.remove(); rows.delete(key); }
    for (const page of pages) {
      let row = rows.get(page.key);
      if (!row) {
        row = newRow(page);
        rows.set(page.key, row);
        $('rows').insertBefore(row.tr, [...$('rows').children].find((tr) => tr.dataset.key > page.key) || null);
      }
      fill(row, page);
    }
    count();
  }

  let next = null;
  function count() {
    const found = rows.size === 1 ? '1 page' : `${rows.size} pages`;
    const none = dev ? 'The site lists no such page.' : next ? 'No match among the pages looked at so far.' : 'The store holds no such page of this build.';
    put($('count'), rows.size ? (next || before.length ? `${found} here` : found) : none);
    $('more').hidden = !next;
    $('back').hidden = !before.length;
  }

  function show(list) {
    ahead = list.now_ms - Date.now();
    next = list.next;
    put($('build'), `build ${list.build}`);
    if ($('route').length !== list.routes.length) $('route').replaceChildren(...list.routes.map((id) => make('option', '', id)));
    const keys = new Set(list.pages.map((page) => page.key));
    change(list.pages, [...rows.keys()].filter((key) => !keys.has(key)));
    put($('trouble'), '');
  }

  // ------------------------------------------------------------ recent publishes

  const published = new Map(); // Journal entries by epoch.
  let newsAt = 0, newsDue;
  // Publishes change pages, so a change of pages reads the journal, at most every NEWS_MS.
  function hearNews() {
    if (dev || newsDue) return;
    newsDue = setTimeout(async () => {
      newsDue = null;
      newsAt = Date.now();
      try {
        const answer = await ask(`/revalidate/log?limit=${NEWS_SHOWN}`);
        if (answer.ok && !$('desk').hidden) news((await answer.json()).publishes);
      } catch { /* The next change tries again. */ }
    }, Math.max(0, newsAt + NEWS_MS - Date.now()));
  }

  function news(entries) {
    for (const entry of entries) if (entry.epoch) published.set(entry.epoch, entry);
    $('no-news').hidden = entries.length > 0;
    $('news').replaceChildren(...entries.map((entry) => {
      const li = make('li'), time = make('time'), tags = (entry.tags || []).map((tag) => tag.replace(/^tag:/, 'tag ').replace(/^route:/, 'route ').replace(/^path:/, '').replace(/^site$/, 'the whole site'));
      const what = [...new Set([...(entry.paths || []), ...tags])];
      const failed = (entry.results || []).find((result) => result.error);
      const { failing = 0, left = 0, total = 0 } = entry.renewal || {};
      const visible = entry.mode === 'now' && entry.visible_ms !== undefined ? `visible after ${entry.visible_ms} ms` : '';
      const went = {
        begun: 'under way', scheduled: `planned, in ${span(entry.due - now())}`, renewing: `renewing, ${total - left} of ${pages(total)}`,
        done: entry.renewal && !total ? 'no stored page belongs to it' : visible || 'done', done_with_failures: `done with failures, ${failing} of ${pages(total)}`,
      }[entry.went] ?? entry.went;
      const who = [entry.provider || '', `key ${entry.key_id}`].filter(Boolean).join(', ');
      time.dataset.at = entry.at;
      li.append(time, make('span', 'what', what.slice(0, 3).join(', ') + (what.length > 3 ? ` and ${what.length - 3} more` : '')));
      li.append(make('p', 'said soft', [entry.mode === 'now' ? '' : entry.mode, who, went].filter(Boolean).join(' · ')));
      const unrenewed = entry.renewal?.failures?.[0];
      const error = entry.error || failed?.error || (unrenewed && `${unrenewed.path}: ${unrenewed.error}`);
      if (error) li.append(make('p', 'said bad', error));
      if (entry.went === 'scheduled') li.append(cancelling(entry.id, what.join(', ')));
      return li;
    }));
    tellNews();
  }

  // The button that cancels a scheduled publish.
  function cancelling(id, what) {
    const button = Object.assign(make('button', 'quiet small', 'Cancel'), { type: 'button' });
    button.setAttribute('aria-label', `Cancel the scheduled publish of ${what}`);
    button.addEventListener('click', async () => {
      const entry = note(`Cancel ${what}`);
      button.disabled = true;
      try {
        const answer = await ask(`/revalidate/${encodeURIComponent(id)}`, { method: 'DELETE' });
        if (answer.status === 401) return lock('This secret is no longer accepted.');
        if (answer.ok) entry.say('Cancelled'); else entry.say((await json(answer)).message || `The answer was ${answer.status}`, true);
      } catch {
        entry.say('No answer. It may have been cancelled.', true);
      } finally {
        button.disabled = false;
        hearNews();
      }
    });
    return button;
  }

  const tellNews = () => $('news').querySelectorAll('time').forEach((time) => put(time, `${span(now() - Number(time.dataset.at))} ago`));

  // ------------------------------------------------------------ search and paging

  let before = [], after = '';
  function query() {
    const asked = new URLSearchParams();
    for (const [name, value] of [['prefix', $('prefix').value.trim()], ['state', dev ? '' : $('state').value], ['after', after]]) if (value) asked.set(name, value);
    return asked;
  }

  let typed;
  function search() {
    clearTimeout(typed);
    typed = setTimeout(() => { before = []; after = ''; watch(); }, TYPED_MS);
  }

  // ------------------------------------------------------------ live changes

  const followed = new Map();
  let watching = new AbortController();

  const status = (text, className = '') => { put($('live'), text); $('live').className = `live ${className}`; };

  // Reads events where the server can stream them; else (as on Lambda) reads the list every few seconds.
  async function watch() {
    watching.abort();
    watching = new AbortController();
    const { signal } = watching;
    for (let pause = 1000; !signal.aborted; pause = Math.min(pause * 2, RETRY_MOST_MS)) {
      try {
        const asked = query();
        for (const id of followed.keys()) asked.append('call', id);
        const answer = await ask(`/publish/events?${asked}`, { signal });
        if (answer.status === 401) return lock('This secret is no longer accepted.');
        if (answer.status === 501) await poll(signal, Infinity);
        else if (answer.status === 503) await poll(signal, RETRY_MOST_MS);
        else if (!answer.ok) throw new Error(answer.status);
        else {
          status('Live', 'on');
          pause = 500;
          await events(answer.body, heard);
        }
      } catch { /* The loop tries again. */ }
      if (signal.aborted) return;
      status('Reconnecting…', 'off');
      await sleep(pause);
    }
  }

  async function events(body, hear) {
    let text = '';
    for (const reader = body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const whole = text.split('\n\n');
      text = whole.pop();
      for (const one of whole) {
        const field = (name) => one.split('\n').find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        if (field('event')) hear(field('event'), JSON.parse(field('data')));
      }
    }
  }

  function heard(event, data) {
    if (event === 'list' || event === 'change') hearNews();
    if (event === 'list') show(data);
    else if (event === 'change') { next = data.next; change(data.pages, data.gone); put($('trouble'), ''); }
    else if (event === 'progress') progress(data);
    else if (event === 'trouble') put($('trouble'), data.message);
  }

  async function poll(signal, forMs) {
    for (const end = now() + forMs; !signal.aborted && now() < end; await sleep(POLL_MS)) {
      const answer = await ask(`/publish/pages?${query()}`, { signal });
      if (answer.status === 401) return lock('This secret is no longer accepted.');
      if (answer.ok) { show(await answer.json()); hearNews(); status(`Updated every ${POLL_MS / 1000} s`, 'on'); }
      else put($('trouble'), (await json(answer)).error || `The list cannot be read (${answer.status}).`);
      for (const id of followed.keys()) {
        const told = await ask(`/revalidate/${id}`, { signal });
        if (told.ok) progress(await told.json());
      }
    }
  }

  // ------------------------------------------------------------ calls

  const MODES = { now: 'Revalidate', stale: 'Mark as stale', delete: 'Delete' };
  const KIND_NOW = { 'not-found': ': it is a 404 now', redirect: ': it is a redirect now' };
  const DONE = { now: 'Renewed', stale: 'Marked: the next visit renews it', delete: 'Deleted' };

  function note(what) {
    const li = make('li'), said = make('p', 'said', '…');
    li.append(make('time', '', new Date().toLocaleTimeString([], { hour12: false })), make('span', 'what', what), said);
    $('calls').prepend(li);
    if ($('calls').children.length > CALLS_SHOWN) $('calls').lastChild.remove();
    $('no-calls').hidden = true;
    return {
      li,
      say(text, bad) { said.className = bad ? 'said bad' : 'said'; put(said, text); },
      layers(layers) {
        li.querySelector('.layers')?.remove();
        const list = make('dl', 'layers');
        // In the order in which a change passes the layers.
        for (const name of dev || !layers ? [] : ['store', 'queue', 'memory', 'edge']) {
          if (layers[name] === null || layers[name] === undefined) continue;
          list.appendChild(make('div')).append(make('dt', '', name), make('dd', '', String(layers[name])));
        }
        if (list.children.length) said.after(list);
      },
      failures(failures, count) {
        li.querySelector('.failures')?.remove();
        if (!failures.length) return;
        const list = make('ul', 'failures');
        for (const { path, error } of failures) list.appendChild(make('li')).append(make('b', '', path), ' ', make('code', '', error || ''));
        if (count > failures.length) list.append(make('li', '', `and ${count - failures.length} more`));
        li.append(list);
      },
    };
  }

  async function call(target, mode, name, button) {
    const entry = note(`${dev ? 'Render' : MODES[mode]} ${name}`), began = performance.now();
    if (button) button.disabled = true;
    try {
      const answer = await ask('/revalidate', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...target, mode }) });
      const told = await json(answer), took = `${Math.round(performance.now() - began)} ms`;
      if (answer.status === 401) return lock('This secret is no longer accepted.');
      if (answer.status === 202) follow(told, entry);
      else if (answer.ok && told.unknown_tags) entry.say(mistyped(told.unknown_tags), true);
      else if (answer.ok && told.deleted !== undefined) entry.say(`Deleted: ${told.more ? 'at least ' : ''}${pages(told.deleted)}, in ${took}`);
      else if (answer.ok) entry.say(`${dev ? 'It can be rendered' : DONE[mode]}${KIND_NOW[told.kind] || ''}, in ${took}`);
      else entry.say([told.message, told.error].filter(Boolean).join(': ') || `The answer was ${answer.status}`, true);
      entry.layers(told.layers);
    } catch {
      entry.say('No answer. The call may have been carried out: look at the page’s generation.', true);
    } finally {
      if (button) button.disabled = false;
      hearNews();
    }
  }

  function follow(told, entry) {
    const bar = make('progress');
    bar.setAttribute('aria-label', 'Pages renewed');
    entry.li.append(bar);
    followed.set(String(told.id), { entry, bar, layers: told.layers || {} });
    while (followed.size > FOLLOWED_MOST) followed.delete(followed.keys().next().value);
    entry.say('Accepted');
    watch();
  }

  const pages = (count) => (count === 1 ? '1 page' : `${count} pages`);

  // All numbers come from one answer, so that they are consistent.
  function progress(told) {
    const it = followed.get(String(told.id));
    if (!it) return;
    const whole = told.total ?? told.renewed + told.left, done = whole - told.left, most = told.left_is === 'exact' ? '' : 'at least ';
    const failed = told.failing ? `, ${told.failing} failed` : '';
    Object.assign(it.bar, { max: Math.max(1, whole), value: done });
    it.entry.layers({ ...it.layers, ...told.layers });
    it.entry.failures(told.failures || [], told.failing);
    if (!told.ended) return it.entry.say(`${done} of ${most}${pages(whole)} renewed${failed}`, told.failing > 0);
    const left = told.left - told.failing;
    const waits = left > 0 ? `, ${left} left to ${left === 1 ? 'its' : 'their'} visitors` : '';
    const all = `${whole === 1 ? 'The page is' : `All ${whole} pages are`} renewed`;
    const none = (told.unknown_tags || []).length ? mistyped(told.unknown_tags) : 'No stored page belongs to it: nothing to renew';
    it.entry.say(whole === 0 && most === '' ? none : told.left ? `${done} of ${most}${pages(whole)} renewed${failed}${waits}` : all, told.left > 0 || whole === 0);
    followed.delete(String(told.id));
    it.bar.remove();
  }

  const mistyped = (tags) => tags.map(({ tag, nearest }) => `No page carries the tag ${tag}${nearest.length ? `; did you mean ${nearest.join(' or ')}?` : ''}`).join('. ');

  async function draft(href, path) {
    const entry = note(`Draft of ${path}`);
    try {
      // The answer sets a cookie and redirects to the page; only the cookie is needed here.
      const answer = await ask(`/draft?${new URLSearchParams({ path: href })}`, { redirect: 'manual', credentials: 'same-origin' });
      if (answer.status === 401) return lock('This secret is no longer accepted.');
      if (answer.type !== 'opaqueredirect') return entry.say((await json(answer)).message || `The answer was ${answer.status}`, true);
      entry.say('For an hour this browser sees pages as they would be rendered now: ');
      const link = (text, to) => Object.assign(make('a', '', text), { href: to, target: '_blank', rel: 'noopener' });
      entry.li.querySelector('.said').append(link('see it', href), ', or ', link('end it', `${api}/draft/clear?${new URLSearchParams({ path: href })}`), '.');
    } catch {
      entry.say('No answer.', true);
    }
  }

  function sure(what) {
    put($('sure-path'), what);
    $('sure').showModal();
    $('no').focus();
    return new Promise((decide) => {
      $('sure').onclose = () => decide($('sure').returnValue === 'yes');
      $('sure').returnValue = '';
      $('yes').onclick = () => $('sure').close('yes');
      $('no').onclick = () => $('sure').close('no');
    });
  }

  function choose() {
    const kind = new FormData($('call')).get('kind') || 'path';
    $('name-field').hidden = kind !== 'path' && kind !== 'tag';
    $('name').required = !$('name-field').hidden;
    put($('name-label'), kind === 'tag' ? 'Tag' : 'Path of the page');
    $('name').placeholder = kind === 'tag' ? 'posts' : '/blog/hello';
    $('route-field').hidden = kind !== 'route';
    return kind;
  }

  async function publish() {
    const kind = choose(), mode = $('mode').value, name = $('name').value.trim();
    const targets = { path: [{ path: name }, name], tag: [{ tag: name }, `tag ${name}`], route: [{ route: $('route').value }, `route ${$('route').value}`], site: [{ site: true }, 'the whole site'] };
    const [target, text] = targets[kind];
    const gone = { tag: `Every page with the ${text}`, route: `Every page of the ${text}`, site: 'Every page of the site' };
    if (mode === 'delete' && !(await sure(gone[kind] || name))) return;
    call(target, mode, text, $('publish'));
  }

  // ------------------------------------------------------------ the sign-in form

  function lock(message = '') {
    watching.abort();
    secret = '';
    try { sessionStorage.removeItem(KEPT); } catch { /* Nothing was kept. */ }
    rows.clear();
    followed.clear();
    published.clear();
    for (const id of ['rows', 'calls', 'news', 'route']) $(id).replaceChildren();
    for (const id of ['build', 'count']) put($(id), '');
    status('');
    $('no-calls').hidden = $('no-news').hidden = false;
    $('desk').hidden = $('forget').hidden = true;
    $('door').hidden = false;
    put($('refused'), message);
    $('secret').value = '';
    $('secret').focus();
  }

  async function enter() {
    try {
      const answer = await ask('/publish/pages?limit=1');
      if (answer.status === 401) return lock(secret && 'This secret is not accepted.');
      if (!answer.ok) return lock((await json(answer)).message || `The answer was ${answer.status}.`);
    } catch (error) {
      // `fetch` also fails for characters that a header field cannot hold; other failures are of the network.
      return lock(/^[\x21-\x7e]*$/.test(secret) ? 'No answer. Try again.' : 'A secret cannot contain these characters.');
    }
    try { sessionStorage.setItem(KEPT, secret); } catch { /* The user enters the secret again after a reload. */ }
    $('door').hidden = true;
    $('desk').hidden = false;
    $('forget').hidden = dev;
    choose();
    watch();
    $('main').focus();
  }

  // ------------------------------------------------------------ start

  put($('host'), location.host);
  const on = (id, event, act) => $(id).addEventListener(event, act);
  on('enter', 'submit', (event) => { event.preventDefault(); secret = $('secret').value.trim(); put($('refused'), ''); if (secret) enter(); });
  on('forget', 'click', () => lock());
  on('call', 'submit', (event) => { event.preventDefault(); publish(); });
  on('call', 'change', choose);
  on('find', 'submit', (event) => { event.preventDefault(); search(); });
  on('prefix', 'input', search);
  on('state', 'change', search);
  on('more', 'click', () => { before.push(after); after = next; watch(); });
  on('back', 'click', () => { after = before.pop() || ''; watch(); });
  document.addEventListener('click', (event) => document.querySelectorAll('.more[open]').forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; }));
  document.addEventListener('keydown', (event) => {
    const menu = event.key === 'Escape' && document.querySelector('.more[open]');
    if (menu) { menu.open = false; menu.querySelector('summary').focus(); }
  });
  // A hidden page stops listening.
  document.addEventListener('visibilitychange', () => {
    if ($('desk').hidden) return;
    if (document.hidden) { watching.abort(); status('Paused'); } else watch();
  });
  setInterval(() => { rows.forEach(tell); tellNews(); }, 1000);
  for (const id of ['kinds', 'mode-field', 'state-field', 'news-part']) $(id).hidden = dev;
  $('dev-note').hidden = !dev;
  if (dev) put($('publish'), 'Render');
  if (dev || secret) enter(); else lock();
})();
