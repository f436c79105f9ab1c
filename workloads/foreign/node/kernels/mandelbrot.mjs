// The Mandelbrot set: how many steps of z -> z*z + c stay bounded.

import { edge } from './edge.mjs';

export function mandelbrot({ chunks_count: chunks, size_count: n, limit_count: limit }) {
  return (index) => {
    let total = 0;
    for (let row = edge(n, chunks, index), end = edge(n, chunks, index + 1); row < end; row++) {
      for (let column = 0; column < n; column++) {
        total += steps(-2.0 + (3.0 * column) / n, -1.5 + (3.0 * row) / n, limit);
      }
    }
    return total;
  };
}

function steps(cr, ci, limit) {
  let zr = 0;
  let zi = 0;
  let count = 0;
  while (count < limit && zr * zr + zi * zi <= 4.0) {
    [zr, zi] = [zr * zr - zi * zi + cr, 2.0 * zr * zi + ci];
    count++;
  }
  return count;
}
