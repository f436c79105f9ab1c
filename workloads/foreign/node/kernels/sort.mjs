import { lehmer, next } from './lehmer.mjs';

export function sort({ items_count: items }) {
  return (index) => {
    const numbers = new Int32Array(items);
    for (let j = 0, x = lehmer(index, 1); j < items; j++, x = next(x)) numbers[j] = x;
    numbers.sort();
    return numbers.reduce((total, number, j) => total + ((number * ((j % 7) + 1)) % 1_000_003), 0);
  };
}
