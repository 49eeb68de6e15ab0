// Makes HTML elements, and what stands in them.

/** An element with properties and children. */
export function element(tag, properties = {}, children = []) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
}

/** Seconds as minutes, seconds and hundredths. */
export function clock(seconds) {
    return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
}

/** A stylesheet of ours, added to the page once. */
export function addStyle(address) {
    if (document.querySelector(`link[href="${address}"]`)) return;
    document.head.append(element("link", { rel: "stylesheet", href: address }));
}
