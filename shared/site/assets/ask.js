// "Ask for it again": the page asks for itself and notes what it got.
(() => {
  const box = document.getElementById('ask'), list = box.querySelector('ol');
  box.hidden = false;
  box.querySelector('button').onclick = async () => {
    const li = document.createElement('li'), began = performance.now();
    const put = (tag, text) => li.append(Object.assign(document.createElement(tag), { textContent: text, className: text }));
    try {
      const answer = await fetch(location.pathname, { cache: 'no-store' }), text = await answer.text();
      const page = new DOMParser().parseFromString(text, 'text/html');
      put('span', new Date().toLocaleTimeString([], { hour12: false }));
      put('b', answer.headers.get('x-perennial-cache') || '–');
      put('span', `generation ${page.querySelector('.label dd:nth-of-type(2)').textContent}, ${Math.round(performance.now() - began)} ms`);
    } catch { put('span', 'No answer.'); }
    list.prepend(li);
    if (list.children.length > 6) list.lastChild.remove();
  };
})();
