// Lists of tracks as widgets hold them: "3, 5-7".

/** The numbers of a list, as far as it is one; the server reports what isn't. */
export function readTracks(text) {
    const numbers = [];
    for (const part of String(text ?? "").split(/[\s,;]+/)) {
        const [, first, last] = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part) ?? [];
        if (first !== undefined) for (let n = Number(first); n <= Number(last ?? first); n++) numbers.push(n);
    }
    return numbers;
}

/** The list of some numbers, in order, neighbours as ranges. */
export function writeTracks(numbers) {
    const sorted = [...new Set(numbers)].sort((a, b) => a - b);
    const ranges = [];
    for (const number of sorted) {
        const last = ranges.at(-1);
        if (last && last[1] === number - 1) last[1] = number;
        else ranges.push([number, number]);
    }
    return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}
