export function nqueens({ size_count: n }) {
  const all = 2 ** n - 1;
  return (index) => {
    const first = 1 << Math.floor(index / n);
    const second = 1 << index % n;
    const left = first << 1;
    const right = first >> 1;
    if (second & (first | left | right)) return 0;
    return solutions(all, first | second, (left | second) << 1, (right | second) >> 1);
  };
}

/** The masks are the attacked columns of the next row. */
function solutions(all, columns, left, right) {
  if (columns === all) return 1;
  let count = 0;
  for (let free = all & ~(columns | left | right); free; free &= free - 1) {
    const queen = free & -free;
    count += solutions(all, columns | queen, (left | queen) << 1, (right | queen) >> 1);
  }
  return count;
}
